"""What is to be known of a search: its candidates round by round, and what mattered among its parameters."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

from softcloze.errors import ParameterError
from softcloze.search.importance import Parameter, effects, noise_share
from softcloze.search.results import Candidate, Round, higher_is_better, rounds_of

if TYPE_CHECKING:
    import optuna
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """A search, as plain data.

    Attributes:
        rounds: of successive halving, the first one first; other searches have one. Candidates of different rounds
            had different resources, and are not compared.
        parameters: those that vary in the first round, which alone has all candidates; the one that explains most of
            the variance of their scores first. See `softcloze.search.importance.effects`.
        noise: share of that variance that chance in the folds would make if all candidates were equally good, None
            without the scores of folds. See `softcloze.search.importance.noise_share`.
        higher_is_better: whether the search looked for the highest score.
        held_out: score of the winner on rows that the search did not have, if it was given.
    """

    rounds: tuple[Round, ...]
    parameters: tuple[Parameter, ...]
    noise: float | None
    higher_is_better: bool
    held_out: float | None

    @property
    def best(self) -> Candidate:
        """The winner: the best candidate of the last round. It was chosen by its score, which is optimistic."""
        return self.rounds[-1].candidates[0]

    def table(self, top: int = 10) -> "RenderableType":
        """The parameters and the best candidates of each round, for the terminal.

        Args:
            top: candidates of each round, at most.
        """
        from softcloze.search.table import search_tables

        return search_tables(self, top)

    def report(self, path: str | Path) -> Path:
        """Write it all as one page of HTML that needs nothing else; folders are made.

        Raises:
            ReportError: matplotlib is not installed, or the file cannot be written.
        """
        from softcloze.report.search_page import write_search_report

        return write_search_report(self, path)


def summarise_search(
    search: "BaseEstimator | optuna.Study", *, held_out: float | None = None, random_state: int = 0
) -> SearchSummary:
    """What mattered in a search.

    Args:
        search: a fitted searcher of scikit-learn (grid, random, either successive halving), or a study of optuna with
            one objective. What an objective of optuna puts into `trial.set_user_attr("scores", [...])` counts as the
            scores of the folds.
        held_out: score of the winner on rows that the search did not have, as `search.score(texts, labels)` gives it.
        random_state: seed of the forest that stands in for what was not tried.

    Raises:
        ParameterError: not a search that has run, one by several scores, or one without any score.

    Example:
        >>> from sklearn.model_selection import GridSearchCV
        >>> from softcloze.experiments import tfidf
        >>> texts = ["很好", "真好看", "好极了", "不好看", "很差", "太差了", "真差劲", "差评"]
        >>> search = GridSearchCV(
        ...     tfidf("char"), {"logisticregression__C": [0.001, 10.0], "tfidfvectorizer__use_idf": [True, False]}, cv=2
        ... )
        >>> found = summarise_search(search.fit(texts, ["good"] * 4 + ["bad"] * 4))
        >>> found.best.parameters == search.best_params_
        True
        >>> len(found.rounds[0].candidates), sorted(each.name for each in found.parameters)
        (4, ['logisticregression__C', 'tfidfvectorizer__use_idf'])
    """
    rounds, higher = rounds_of(search), higher_is_better(search)
    if held_out is not None and not isinstance(held_out, float | int):
        raise ParameterError(f"held_out={held_out!r}: expected the winner's score on held-out rows, a number")
    first = rounds[0].candidates
    return SearchSummary(rounds, effects(first, higher, random_state), noise_share(first), higher, held_out)
