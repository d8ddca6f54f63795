"""Summary of a search: its candidates round by round, and the importance of its parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

from softcloze.display import Block, Displayable
from softcloze.parameters import NONE, NUMBER, integer, validate_parameters
from softcloze.search.importance import Parameter, noise_share, parameter_importance
from softcloze.search.results import Candidate, Round, higher_is_better, rounds_of

if TYPE_CHECKING:
    import optuna

CONSTRAINTS = {
    "held_out": NUMBER | NONE,
    "random_state": integer(at_least=0),
    "top": integer(at_least=1),
}


@dataclass(frozen=True, slots=True)
class SearchSummary(Displayable):
    """The result of a search as plain data; `print`, `rich.print` and notebooks show its tables.

    Attributes:
        rounds: the rounds of successive halving in order; other searches have one. Candidates of different rounds
            had different resources and are not compared.
        parameters: parameters that vary in the first round, the only one with all candidates, the most important
            first; see `softcloze.search.importance.parameter_importance`.
        noise: share of the variance of scores expected from chance in the folds if all candidates were equally good;
            None without scores of folds. See `softcloze.search.importance.noise_share`.
        higher_is_better: True if the search maximised the score.
        held_out: score of the winner on examples that the search did not use, or None.
    """

    rounds: tuple[Round, ...]
    parameters: tuple[Parameter, ...]
    noise: float | None
    higher_is_better: bool
    held_out: float | None

    @property
    def best(self) -> Candidate:
        """The best candidate of the last round. It was selected by its score, which is therefore optimistic."""
        return self.rounds[-1].candidates[0]

    def content(self) -> Sequence[Block]:
        """Tables of the parameters and the best candidates of each round."""
        return self.table().content()

    def table(self, top: int = 10) -> Displayable:
        """Tables of the parameters and the best candidates of each round, for the terminal and for notebooks.

        Args:
            top: maximum number of candidates of each round.
        """
        from softcloze.search.table import SearchTable

        validate_parameters({"top": top}, CONSTRAINTS)

        return SearchTable(self, top)

    def report(self, path: str | Path) -> Path:
        """Write the summary as one self-contained HTML page; missing folders are created.

        Raises:
            ReportError: matplotlib is not installed.
            FileError: the file cannot be written.
        """
        from softcloze.report.search_page import write_search_report

        return write_search_report(self, path)


def summarise_search(
    search: "BaseEstimator | optuna.Study", *, held_out: float | None = None, random_state: int = 0
) -> SearchSummary:
    """Summarise a search: its candidates, and the importance of its parameters.

    Args:
        search: a fitted search of scikit-learn (grid, random, or successive halving), or a study of optuna with one
            objective. Values that an objective stores with `trial.set_user_attr("scores", [...])` are used as the
            scores of the folds.
        held_out: score of the winner on examples that the search did not use, such as `search.score(texts, labels)`.
        random_state: seed of the forest that predicts combinations that were not tried.

    Raises:
        ParameterError: `search` is not a finished search, has several objectives, or no score; or another argument is
            of another type.

    Example:
        >>> from sklearn.model_selection import GridSearchCV
        >>> from softcloze.experiments import tfidf
        >>> texts = ["很好", "真好看", "好极了", "不好看", "很差", "太差了", "真差劲", "差评"]
        >>> search = GridSearchCV(
        ...     tfidf("char"), {"logisticregression__C": [0.001, 10.0], "tfidfvectorizer__use_idf": [True, False]}, cv=2
        ... )
        >>> summary = summarise_search(search.fit(texts, ["good"] * 4 + ["bad"] * 4))
        >>> summary.best.parameters == search.best_params_
        True
        >>> len(summary.rounds[0].candidates), sorted(parameter.name for parameter in summary.parameters)
        (4, ['logisticregression__C', 'tfidfvectorizer__use_idf'])
    """
    validate_parameters({"held_out": held_out, "random_state": random_state}, CONSTRAINTS)
    rounds, higher = rounds_of(search), higher_is_better(search)
    first = rounds[0].candidates
    parameters = parameter_importance(first, higher, random_state)
    return SearchSummary(rounds, parameters, noise_share(first), higher, held_out)
