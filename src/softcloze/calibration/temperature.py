"""Temperature scaling: match confidence to accuracy without changing predictions."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from softcloze.calibration.scores import Calibration, Scores, log_probs, validate_numbers
from softcloze.errors import ParameterError

# The best temperature is 0 if every held-out example is right, and infinite if scores are random. Within these bounds
# a lead of 1 nat becomes one of 20 (certainty) or of 0.05 (near chance).
BOUNDS = (0.05, 20.0)


@dataclass(frozen=True, slots=True)
class Temperature(Calibration):
    """A divisor of log-probabilities: above 1 it lowers confidence, below 1 it raises it.

    Attributes:
        temperature: above 0.
    """

    method: str = field(default="temperature", init=False, repr=False)
    temperature: float

    def __post_init__(self) -> None:
        validate_numbers("temperature", self.temperature, ())
        if self.temperature <= 0:
            raise ParameterError(f"temperature must be above 0, found {self.temperature!r}")

    def _apply(self, scores: ArrayLike) -> Scores:
        """Divide the log-probabilities of the labels by the temperature.

        >>> np.exp(Temperature(0.5).apply(np.log([[0.5, 0.5]])))
        array([[0.25, 0.25]])
        """
        return log_probs(scores, impossible=True) / self.temperature


def fit_temperature(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> Temperature:
    """Learn the temperature that maximises the likelihood of held-out labels.

    Args:
        scores: log-scores in nats of labelled examples that were not in the training set, up to a constant per
            example, shape (batch, labels).
        targets: index of the right label of each example, shape (batch,).
        weights: weight of each example, shape (batch,); None for equal ones.

    Returns:
        The temperature with the least mean negative log-likelihood, between 0.05 and 20. Below 0.1 all examples are
        right; near 20 the scores hardly depend on the labels.

    Raises:
        ParameterError: no examples, targets of another shape or out of range, or scores that are not finite.

    Source:
        Guo et al., ICML 2017, arXiv:1706.04599, section 4.2. The loss has a single minimum in the
        logarithm of the temperature, which a bounded search finds.

    >>> overconfident = [[3.0, 0.0], [3.0, 0.0], [3.0, 0.0], [0.0, 3.0]]  # three of four are right
    >>> round(fit_temperature(overconfident, [0, 0, 1, 1]).temperature, 2)  # log odds of 3 to 1 are 1.10
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
        raise ParameterError(f"targets must be indices of labels, found {right.dtype} values")
    wrong = np.flatnonzero((right < 0) | (right >= log_p.shape[1]))
    if wrong.size:
        row = int(wrong[0])
        raise ParameterError(
            f"example {row} has the target {right[row]}; scores of {log_p.shape[1]} labels have targets from 0 to "
            f"{log_p.shape[1] - 1}"
        )
    rows = np.arange(len(right))
    factors = np.asarray(weights, dtype=np.float64) if weights is not None else np.ones(len(right))
    shares = factors / factors.sum()

    def loss(log_temperature: float) -> float:
        return -float(shares @ log_softmax(log_p / math.exp(log_temperature), axis=1)[rows, right])

    result = minimize_scalar(loss, bounds=tuple(map(math.log, BOUNDS)), method="bounded")
    # where all are right and sure, many temperatures leave no loss; the lowest keeps the scores apart
    lowest = loss(math.log(BOUNDS[0])) <= result.fun
    return Temperature(BOUNDS[0] if lowest else math.exp(result.x))
