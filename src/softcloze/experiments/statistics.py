"""Metrics, paired differences with intervals and p-values, and Holm's correction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, NamedTuple, Self, TypeAlias, get_args

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from softcloze.calibration import expected_calibration_error
from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean

Metric: TypeAlias = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error"]
METRICS: tuple[Metric, ...] = get_args(Metric)
BINS = 10  # of the expected calibration error
RESAMPLES = 2000
LEVEL = 0.95
ROUNDING = 1e-6  # error of float32 sums; real differences in a metric are larger


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric over the runs of one method.

    Attributes:
        values: one for each run, by seed.
        mean: their mean.
        sd: their sample standard deviation; None for a single run.

    >>> Spread.of([0.8, 0.9])
    Spread(values=(0.8, 0.9), mean=0.85..., sd=0.0707...)
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Compute mean and standard deviation."""
        return cls(tuple(values), fmean(values), stdev(values) if len(values) > 1 else None)


class Paired(NamedTuple):
    """Difference between two methods; see `paired`."""

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The difference between two methods in one metric, with its uncertainty.

    Attributes:
        method: the first method.
        other: the second method.
        mean: metric of the first minus that of the second, averaged over the draws.
        low: lower end of the 95% bootstrap interval.
        high: upper end of that interval.
        p: two-sided p-value; see `paired`.
        p_corrected: p-value after Holm's correction for all differences computed together.
    """

    method: str
    other: str
    mean: float
    low: float
    high: float
    p: float
    p_corrected: float


def measure(truth: np.ndarray, probabilities: np.ndarray) -> dict[Metric, float]:
    """All metrics of one run.

    Args:
        truth: class index of each row, shape (rows,).
        probabilities: shape (rows, classes).

    Returns:
        Metrics by name. Means over classes use only classes that occur in `truth`.

    >>> metrics = measure(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
    >>> {name: round(value, 3) for name, value in metrics.items()}
    {'accuracy': 0.5, 'balanced_accuracy': 0.5, 'macro_f1': 0.333, 'log_loss': 0.511, 'calibration_error': 0.35}
    """
    predicted, present = probabilities.argmax(1), np.unique(truth)
    classes = list(range(probabilities.shape[1]))
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(recall_score(truth, predicted, labels=present, average="macro", zero_division=0)),
        "macro_f1": float(f1_score(truth, predicted, labels=present, average="macro", zero_division=0)),
        "log_loss": float(log_loss(truth, probabilities, labels=classes)),
        "calibration_error": expected_calibration_error(truth, probabilities, labels=classes, bins=BINS),
    }


def validate_metric(metric: str) -> None:
    """Raise ParameterError if a metric is unknown."""
    if metric not in METRICS:
        raise ParameterError(
            f"metric={metric!r} is unknown; expected {', '.join(METRICS)}{did_you_mean(str(metric), METRICS)}"
        )


class Resampling:
    """Bootstrap samples and permutations of the held-out examples, the same for every pair of methods."""

    def __init__(self, rows: int, resamples: int = RESAMPLES, random_state: int = 0):
        """Draw the samples; `random_state` determines them."""
        generator = np.random.default_rng(random_state)
        # count of each example in each bootstrap sample, and 1 where a permutation swaps the two methods; both of shape
        # (resamples, rows)
        self.counts = generator.multinomial(rows, np.full(rows, 1 / rows), size=resamples).astype(np.float32)
        self.swaps = generator.integers(0, 2, size=(resamples, rows)).astype(np.float32)
        self._seed = random_state + 1

    def students(self, freedom: int) -> np.ndarray:
        """Samples from Student's t distribution, shape (resamples,), the same at every call."""
        return np.random.default_rng(self._seed).standard_t(freedom, size=len(self.counts))


def paired(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    truth: np.ndarray,
    metric: Metric,
    resampling: Resampling,
    level: float = LEVEL,
) -> Paired:
    """Difference between two methods on the same held-out examples and the same draws, with its uncertainty.

    Both the held-out examples and the draws of training examples are samples, and all runs share the former: 500
    examples in three runs are 500 examples and three draws, not 1,500 observations. The interval is a percentile
    bootstrap over examples, with the same resample for all runs. The p-value comes from a permutation test over
    examples, which swaps the methods in all runs at once. The variance between runs that their examples do not explain
    is attributed to the draws. It is added to both as Student's t with draws - 1 degrees of freedom, because resampling
    or permuting three values underestimates it. With a single draw the result holds for that draw only.

    Args:
        first: probabilities of each run of a method, each of shape (rows, classes).
        second: probabilities of the other method for the same draws in the same order; a single run is used for all.
        truth: class index of each row, shape (rows,).
        metric: the metric to compare.
        resampling: resamples and permutations of the examples.
        level: probability that the interval covers.

    Returns:
        Mean of the first minus the second, its interval, and the two-sided p-value.

    Source:
        Draws and examples as crossed random effects: Clark, Journal of Verbal Learning and Verbal Behavior, 1973.
        Bootstrap of two crossed samples: Owen, Annals of Applied Statistics, 2007, arXiv:0712.1111. We differ in the
        variance of the draws; see docs/measurements/comparing.md.
    """
    return paired_sums(_parts(metric, first, truth), _parts(metric, second, truth), _value, resampling, level)


def paired_sums(
    first: np.ndarray,
    second: np.ndarray,
    value: Callable[[np.ndarray], np.ndarray],
    resampling: Resampling,
    level: float = LEVEL,
) -> Paired:
    """The difference of `paired` for any metric that is computed from sums over examples.

    Args:
        first: summands of each example in each run of a method, shape (..., runs, rows, parts).
        second: those of the other method for the same draws in the same order; a single run is used for all.
        value: the metric from such sums; of sums over examples, (..., runs, parts), it returns shape (runs,).
        resampling: resamples and permutations of the examples.
        level: probability that the interval covers.
    """
    left, right = np.broadcast_arrays(first, second)
    differences = value(left.sum(-2)) - value(right.sum(-2))  # (runs,)
    mean, runs = float(differences.mean()), len(differences)
    left, right = left.astype(np.float32), right.astype(np.float32)

    resampled = value(resampling.counts @ left) - value(resampling.counts @ right)  # (runs, resamples)
    swapped = resampling.swaps @ (right - left)
    left_sums, right_sums = left.sum(-2, keepdims=True) + swapped, right.sum(-2, keepdims=True) - swapped
    null = (value(left_sums) - value(right_sums)).mean(0)  # (resamples,)

    bootstrap = resampled.mean(0)
    if runs > 1:
        # resampling examples adds as much variance between runs as the examples themselves contribute
        variance = max(0.0, 2 * differences.var(ddof=1) - resampled.var(axis=0, ddof=1).mean())
        draws = np.sqrt(variance / runs) * resampling.students(runs - 1)
        bootstrap, null = bootstrap + draws, null + draws
    low, high = np.quantile(bootstrap, [(1 - level) / 2, (1 + level) / 2])
    extreme = int(np.count_nonzero(np.abs(null) >= abs(mean) - ROUNDING))
    return Paired(mean, float(low), float(high), (1 + extreme) / (1 + len(null)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected by Holm's method, which controls the family-wise error rate.

    Source:
        Holm, Scandinavian Journal of Statistics, 1979.

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return list(corrected.tolist())


def _parts(metric: Metric, runs: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Contribution of each example to a metric, shape (2, runs, rows, parts).

    Every metric is a mean of quotients of sums over examples, which can therefore be resampled, and swapped between
    methods, by a matrix product.
    """
    present = np.unique(truth)
    members = truth[:, None] == present
    parts = []
    for probabilities in runs:
        predicted = probabilities.argmax(1)
        right = (predicted == truth)[:, None]
        ones = np.ones((len(truth), 1))
        match metric:
            case "accuracy":
                above, below = right, ones
            case "balanced_accuracy":
                above, below = right & members, members
            case "macro_f1":
                above, below = 2.0 * (right & members), members + 1.0 * (predicted[:, None] == present)
            case "log_loss":
                least = np.finfo(probabilities.dtype).eps
                of_right_class = probabilities[np.arange(len(truth)), truth]
                above, below = -np.log(np.clip(of_right_class, least, 1))[:, None], ones
            case "calibration_error":
                confidence = probabilities.max(1, keepdims=True).astype(np.float64)
                bins = np.searchsorted(np.arange(1, BINS) / BINS, confidence, side="left") == np.arange(BINS)
                above, below = (right - confidence) * bins, ones * np.full(BINS, 1 / BINS)
        parts.append(np.stack(np.broadcast_arrays(above, below)).astype(np.float64))
    return np.stack(parts, axis=1)


def _value(sums: np.ndarray) -> np.ndarray:
    """Metric from the sums over examples, shape (2, ..., parts); a class without examples counts as 0."""
    above, below = np.abs(sums)
    value: np.ndarray = np.divide(above, below, out=np.zeros_like(above), where=below != 0).mean(-1)
    return value
