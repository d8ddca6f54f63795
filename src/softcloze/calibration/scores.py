"""The base of all calibrations, and the validation of scores and of their numbers."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from reprlib import repr as shortened
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from softcloze.errors import NonFiniteError, ParameterError

Scores: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration(ABC):
    """A correction of label scores, learnt from scores; `method` is its name in `CALIBRATIONS`."""

    method: str

    def apply(self, scores: ArrayLike) -> Scores:
        """Calibrate scores.

        Args:
            scores: log-scores in nats, up to a constant per example, shape (batch, labels).

        Returns:
            Calibrated log-scores, float64; their softmax over the labels gives probabilities.

        Raises:
            ParameterError: scores of another number of labels, or scores that are not finite.
            NonFiniteError: numbers so far apart that the calibrated scores of an example are not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            calibrated = self._apply(scores)
        if rows := non_finite_rows(calibrated):
            problem = f"calibration={self.method!r} leaves no finite score; learn it again from examples like these"
            raise NonFiniteError(problem, rows, len(calibrated))
        return calibrated

    @abstractmethod
    def _apply(self, scores: ArrayLike) -> Scores:
        """The calibrated scores, which `apply` validates."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which `softcloze.calibration.from_dict` reads."""
        return {name: np.asarray(value).tolist() for name, value in asdict(self).items()}


def non_finite_rows(scores: NDArray[np.floating[Any]]) -> list[int]:
    """Rows with NaN, with plus infinity, or with no finite number at all.

    Minus infinity is the score of a word that is impossible, and of a label with such words.

    Args:
        scores: shape (rows, columns).

    >>> inf = np.inf
    >>> non_finite_rows(np.array([[0.0, -inf], [-inf, -inf], [0.0, inf], [0.0, np.nan]]))
    [1, 2, 3]
    """
    if not scores.shape[1]:
        return []
    broken = np.isnan(scores).any(1) | np.isposinf(scores).any(1) | ~np.isfinite(scores).any(1)
    return [int(row) for row in np.flatnonzero(broken)]


def log_probs(scores: ArrayLike, labels: int | None = None, *, impossible: bool = False) -> Scores:
    """Normalise scores to log-probabilities over the labels; constants added to an example cancel.

    Args:
        scores: log-scores in nats, up to a constant per example, shape (batch, labels).
        labels: expected number of labels; None for any number from two.
        impossible: whether minus infinity is allowed, the score of an impossible label.

    Returns:
        float64, shape (batch, labels); `exp` of each row sums to 1.

    Raises:
        ParameterError: another shape, or values that are not finite numbers.

    >>> np.exp(log_probs([[1.0, 1.0], [0.0, -np.log(3)]])).round(2)
    array([[0.5 , 0.5 ],
           [0.75, 0.25]])
    """
    try:
        given = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ParameterError(f"scores must be a table of numbers with a row for each example: {problem}") from problem
    if given.ndim != 2 or given.shape[1] < 2:
        raise ParameterError(f"scores need the shape (batch, labels) with at least two labels, found {given.shape}")
    if labels is not None and given.shape[1] != labels:
        raise ParameterError(
            f"scores of {given.shape[1]} labels, but the calibration was learnt on {labels}; "
            "apply it to the labels it was learnt on"
        )
    broken = non_finite_rows(given) if impossible else np.flatnonzero(~np.isfinite(given).all(axis=1)).tolist()
    if broken:
        row = broken[0]
        raise ParameterError(
            f"example {row} has the scores {given[row].tolist()}; every label needs a finite score in every example"
        )
    with np.errstate(over="ignore"):  # of numbers so far apart that one of them becomes minus infinity
        result: Scores = log_softmax(given, axis=1)
    return result


def validate_numbers(name: str, value: object, shape: tuple[int, ...]) -> None:
    """Raise ParameterError if `value` does not consist of finite numbers of this shape."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fi" or array.shape != shape or not np.isfinite(array).all():
        size = f"{' x '.join(map(str, shape))} finite numbers" if shape else "1 finite number"
        raise ParameterError(f"{name}: expected {size}, found {shortened(value)}")


def label_count(values: object) -> int:
    """Number of labels that have a value each: at least 2, so that fewer values do not pass for a calibration."""
    return max(2, len(values)) if isinstance(values, tuple) else 2


def as_tuples(value: Any) -> Any:  # noqa: ANN401
    """Convert lists to tuples at all depths.

    >>> as_tuples([[1.0], [2.0]])
    ((1.0,), (2.0,))
    """
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value
