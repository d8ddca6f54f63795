"""Results of a search by scikit-learn or optuna as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from softcloze.errors import ParameterError
from softcloze.parameters import NUMBER

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice of parameters and its score.

    Attributes:
        parameters: as set by the search.
        mean: mean score over the folds.
        folds: the score of each fold; empty if the search does not report them.
    """

    parameters: Mapping[str, Any]
    mean: float
    folds: tuple[float, ...] = ()

    @property
    def sd(self) -> float | None:
        """Sample standard deviation of the score over the folds; None with fewer than two."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else None


@dataclass(frozen=True, slots=True)
class Round:
    """Candidates with the same resources, which can be compared.

    Attributes:
        candidates: the best first.
        resource: of each candidate in a round of successive halving, such as "n_samples=40"; else "".
        failed: number of candidates without a score, because they failed or were pruned.
    """

    candidates: tuple[Candidate, ...]
    resource: str
    failed: int


def rounds_of(search: "BaseEstimator | optuna.Study") -> tuple[Round, ...]:
    """The rounds of a fitted search, or the only round of a study, in the order of running.

    Raises:
        ParameterError: `search` is not a finished search, has several objectives, or no score.
    """
    if hasattr(search, "cv_results_"):
        rounds = _of_searcher(search)
    elif hasattr(search, "trials") and hasattr(search, "directions"):
        rounds = (_of_study(search),)
    else:
        raise ParameterError(
            f"expected a fitted search of scikit-learn or a study of optuna, found {type(search).__name__}"
            f"{', which is not fitted' if hasattr(search, 'fit') else ''}"
        )
    if not rounds[-1].candidates:
        raise ParameterError("no candidate has a score: all failed, or none was tried")
    return rounds


def higher_is_better(search: "BaseEstimator | optuna.Study") -> bool:
    """True if the search maximises the score, as all of scikit-learn do."""
    return hasattr(search, "cv_results_") or search.directions[0].name != "MINIMIZE"


def _of_searcher(search: Any) -> tuple[Round, ...]:  # noqa: ANN401
    results = search.cv_results_
    name = search.refit if search.multimetric_ else "score"
    if not isinstance(name, str):
        raise ParameterError(f"the search has several scores; refit= must name the one to select by, found {name!r}")
    folds = np.array([results[f"split{fold}_test_{name}"] for fold in range(search.n_splits_)]).T
    iterations = results.get("iter", np.zeros(len(folds), int))
    rounds = []
    for iteration in np.unique(iterations):
        rows = np.flatnonzero(iterations == iteration)
        candidates = [
            Candidate(results["params"][row], float(folds[row].mean()), tuple(folds[row].tolist())) for row in rows
        ]
        resource = f"{search.resource}={results['n_resources'][rows[0]]}" if "iter" in results else ""
        rounds.append(_round(candidates, resource))
    return tuple(rounds)


def _of_study(study: Any) -> Round:  # noqa: ANN401
    if len(study.directions) != 1:
        raise ParameterError(f"the study has {len(study.directions)} objectives; expected one")
    candidates = []
    for trial in study.trials:
        done = trial.state.name == "COMPLETE"
        scores = trial.user_attrs.get("scores", ()) if done else ()
        if not isinstance(scores, list | tuple) or not all(map(NUMBER.holds, scores)):
            raise ParameterError(
                f"trial {trial.number} has the scores {scores!r:.80}; expected a list of a number per fold"
            )
        candidates.append(Candidate(trial.params, trial.value if done else float("nan"), tuple(map(float, scores))))
    return _round(candidates, "", higher_is_better(study))


def _round(candidates: list[Candidate], resource: str, higher: bool = True) -> Round:
    """Sort the candidates by score; ties stay in the order of trial."""
    measured = [candidate for candidate in candidates if np.isfinite(candidate.mean)]
    measured.sort(key=lambda candidate: -candidate.mean if higher else candidate.mean)
    return Round(tuple(measured), resource, len(candidates) - len(measured))
