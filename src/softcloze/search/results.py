"""What a search measured, as plain data, whoever searched: scikit-learn or optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from softcloze.errors import ParameterError

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice of parameters, and how well it did.

    Attributes:
        parameters: as the searcher set them.
        mean: score over the folds.
        folds: the score of each fold; empty where the searcher does not tell.
    """

    parameters: Mapping[str, Any]
    mean: float
    folds: tuple[float, ...] = ()

    @property
    def sd(self) -> float | None:
        """Sample standard deviation of the score over the folds; None where there are not two of them."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else None


@dataclass(frozen=True, slots=True)
class Round:
    """Candidates that had the same resources, and can be compared.

    Attributes:
        candidates: the best first.
        resource: what each of them had in a round of successive halving, such as "n_samples=40"; else "".
        failed: candidates without a score, because they failed or were stopped early.
    """

    candidates: tuple[Candidate, ...]
    resource: str
    failed: int


def rounds_of(search: "BaseEstimator | optuna.Study") -> tuple[Round, ...]:
    """The rounds of a fitted searcher, or the only one of a study, in the order in which they were run.

    Raises:
        ParameterError: not a search that has run, one by several scores, or one without any score.
    """
    if hasattr(search, "cv_results_"):
        rounds = _of_searcher(search)
    elif hasattr(search, "trials") and hasattr(search, "directions"):
        rounds = (_of_study(search),)
    else:
        raise ParameterError(
            f"expected a searcher of scikit-learn after fit, or a study of optuna, found {type(search).__name__}"
            f"{', which is not fitted' if hasattr(search, 'fit') else ''}"
        )
    if not rounds[-1].candidates:
        raise ParameterError("no candidate has a score: all of them failed, or none was tried")
    return rounds


def higher_is_better(search: "BaseEstimator | optuna.Study") -> bool:
    """Whether a search looks for the highest score; all of scikit-learn do."""
    return hasattr(search, "cv_results_") or search.directions[0].name != "MINIMIZE"


def _of_searcher(search: Any) -> tuple[Round, ...]:  # noqa: ANN401
    found = search.cv_results_
    name = search.refit if search.multimetric_ else "score"
    if not isinstance(name, str):
        raise ParameterError(f"the search has several scores; refit= has to name the one that chooses, found {name!r}")
    folds = np.array([found[f"split{fold}_test_{name}"] for fold in range(search.n_splits_)]).T
    numbers = found.get("iter", np.zeros(len(folds), int))
    rounds = []
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        candidates = [
            Candidate(found["params"][row], float(folds[row].mean()), tuple(folds[row].tolist())) for row in rows
        ]
        resource = f"{search.resource}={found['n_resources'][rows[0]]}" if "iter" in found else ""
        rounds.append(_round(candidates, resource))
    return tuple(rounds)


def _of_study(study: Any) -> Round:  # noqa: ANN401
    if len(study.directions) != 1:
        raise ParameterError(f"the study has {len(study.directions)} objectives, and what mattered is asked of one")
    candidates = []
    for trial in study.trials:
        done = trial.state.name == "COMPLETE"
        scores = tuple(map(float, trial.user_attrs.get("scores", ()))) if done else ()
        candidates.append(Candidate(trial.params, trial.value if done else float("nan"), scores))
    return _round(candidates, "", higher_is_better(study))


def _round(candidates: list[Candidate], resource: str, higher: bool = True) -> Round:
    """The candidates in order; those that are alike stay in the order in which they were tried."""
    measured = [each for each in candidates if np.isfinite(each.mean)]
    measured.sort(key=lambda each: -each.mean if higher else each.mean)
    return Round(tuple(measured), resource, len(candidates) - len(measured))
