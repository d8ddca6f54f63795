"""Make probabilities as sure as they are right, without changing which label wins."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from softcloze.calibration.scores import Scores, check_numbers, log_probs
from softcloze.errors import ParameterError

# Where every held-out example is right the best temperature is 0, where scores tell nothing it is infinite. Within
# these bounds a lead of 1 nat becomes one of 20, which is certainty, or one of 0.05, which is next to chance.
BOUNDS = (0.05, 20.0)


@dataclass(frozen=True, slots=True)
class Temperature:
    """A number by which log-probabilities are divided: above 1 they become less sure, below 1 surer.

    Attributes:
        temperature: above 0.
    """

    method: ClassVar[str] = "temperature"
    temperature: float

    def __post_init__(self) -> None:
        check_numbers("temperature", self.temperature, ())
        if self.temperature <= 0:
            raise ParameterError(f"temperature has to be above 0, found {self.temperature!r}")

    def apply(self, scores: ArrayLike) -> Scores:
        """Corrected scores: log-probabilities over the labels, divided by the temperature.

        Args:
            scores: log-scores in nats, each row up to a constant, shape (batch, labels).

        Returns:
            The same kind of scores, float64; a softmax over labels makes probabilities of them.

        Raises:
            ParameterError: scores of another shape, or scores that are not finite.

        >>> np.exp(Temperature(0.5).apply(np.log([[0.5, 0.5]])))
        array([[0.25, 0.25]])
        """
        return log_probs(scores) / self.temperature

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which `from_dict` reads back."""
        return {"method": self.method, "temperature": self.temperature}


def fit_temperature(scores: ArrayLike, targets: ArrayLike) -> Temperature:
    """Learn the temperature that makes held-out labels likeliest.

    Args:
        scores: log-scores of labelled examples that the prompt was not fitted on, in nats, each row up to a constant,
            shape (batch, labels).
        targets: the column of the right label of each example, shape (batch,).

    Returns:
        The temperature with the least mean negative log-likelihood, between 0.05 and 20. One below 0.1 says that all
        examples are right, so that nothing keeps it up; one next to 20 that scores tell nothing of the labels.

    Raises:
        ParameterError: no examples, targets of another shape or out of range, or scores that are not finite.

    Source:
        Guo et al., ICML 2017, arXiv:1706.04599, section 4.2. In the logarithm of the temperature there is a single
        minimum, so that a search within bounds finds it.

    >>> too_sure = [[3.0, 0.0], [3.0, 0.0], [3.0, 0.0], [0.0, 3.0]]  # three of four are right
    >>> round(fit_temperature(too_sure, [0, 0, 1, 1]).temperature, 2)  # log odds of 3 to 1 are 1.10
    2.73
    """
    from scipy.optimize import minimize_scalar

    log_p = log_probs(scores)
    right = np.asarray(targets)
    if not len(log_p):
        raise ParameterError("temperature calibration has no examples to learn from; hold out some with labels")
    if right.shape != (len(log_p),):
        raise ParameterError(f"scores of {len(log_p)} examples need as many targets, found the shape {right.shape}")
    if right.dtype.kind not in "iu":
        raise ParameterError(f"targets have to be numbers of columns of the scores, found {right.dtype} values")
    wrong = np.flatnonzero((right < 0) | (right >= log_p.shape[1]))
    if wrong.size:
        row = int(wrong[0])
        raise ParameterError(
            f"example {row} has the target {right[row]}; scores of {log_p.shape[1]} labels have targets from 0 to "
            f"{log_p.shape[1] - 1}"
        )
    rows = np.arange(len(right))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(log_p / math.exp(log_temperature), axis=1)[rows, right].mean())

    found = minimize_scalar(loss, bounds=tuple(map(math.log, BOUNDS)), method="bounded")
    return Temperature(math.exp(found.x))
