"""Expected calibration error and log loss."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softcloze.calibration.scores import log_probs
from softcloze.data.labels import improper_rows
from softcloze.errors import ParameterError
from softcloze.parameters import integer, validate_parameters


def expected_calibration_error(
    y_true: ArrayLike, y_prob: ArrayLike, *, labels: Sequence[str | int], bins: int = 10
) -> float:
    """Mean gap between the confidence and the accuracy of predictions.

    Examples are binned in equal widths by the probability of the predicted label, the first among equals. The gap of a
    bin is the difference between its accuracy and its mean confidence.

    Args:
        y_true: the right label of each example, shape (batch,).
        y_prob: probabilities of the labels, shape (batch, labels).
        labels: the labels in the order of the columns of `y_prob`, such as `classes_`.
        bins: number of bins between 0 and 1; a bin contains its upper edge, but not its lower one.

    Returns:
        The mean gap of the bins, weighted by their numbers of examples: from 0 to 1 (always confident, never right).

    Raises:
        ParameterError: shapes that do not match, labels that are not in `labels`, or rows that are not probabilities.

    Source:
        Naeini et al., AAAI 2015, section "Calibration measures", with bins of equal width and the probability of the
        predicted label as in Guo et al., ICML 2017, arXiv:1706.04599, equation 3.

    >>> probs = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]  # 0.9 twice and right once, 0.8 once and right
    >>> round(expected_calibration_error(["a", "b", "b"], probs, labels=["a", "b"]), 4)  # 2/3 * 0.4 + 1/3 * 0.2
    0.3333
    """
    truth, names = np.asarray(y_true), np.asarray(labels).tolist()
    probs = _probabilities(y_prob, len(names))
    validate_parameters({"bins": bins}, {"bins": integer(at_least=1)})
    if truth.shape != (len(probs),):
        raise ParameterError(
            f"y_prob holds {len(probs)} examples, so y_true needs as many labels, found the shape {truth.shape}"
        )
    column = {name: i for i, name in enumerate(names)}
    if len(column) < len(names):
        raise ParameterError(f"labels must be different, found {names!r}")
    unknown = [name for name in dict.fromkeys(truth.tolist()) if name not in column]
    if unknown:
        raise ParameterError(f"y_true holds {', '.join(map(repr, unknown))}, but labels are {names!r}")
    right = np.array([column[name] for name in truth.tolist()]) == probs.argmax(axis=1)
    confidence = probs.max(axis=1)
    # the number of examples in a bin cancels: it multiplies the weight and divides the means
    gaps = np.bincount(_bin_of(confidence, bins), weights=right - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


class ConfidenceBin(NamedTuple):
    """Predictions whose confidence is between two edges."""

    low: float
    high: float
    confidence: float  # mean
    accuracy: float
    rows: int


def confidence_bins(right: np.ndarray, confidence: np.ndarray, bins: int = 10) -> list[ConfidenceBin]:
    """The bins of `expected_calibration_error` that hold a prediction, from the lowest confidence to the highest.

    Args:
        right: whether each prediction is right, shape (batch,).
        confidence: probability of each predicted label, shape (batch,).
        bins: number of bins between 0 and 1.

    >>> confidence_bins(np.array([True, False]), np.array([0.9, 0.9]))
    [ConfidenceBin(low=0.8, high=0.9, confidence=0.9, accuracy=0.5, rows=2)]
    """
    indices = _bin_of(confidence, bins)
    return [
        ConfidenceBin(
            index / bins,
            (index + 1) / bins,
            float(confidence[indices == index].mean()),
            float(right[indices == index].mean()),
            int((indices == index).sum()),
        )
        for index in np.unique(indices).tolist()
    ]


def _bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The index of the bin of each confidence."""
    return np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")


def _probabilities(y_prob: ArrayLike, labels: int) -> np.ndarray:
    try:
        probs = np.asarray(y_prob, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ParameterError(f"y_prob must be a table of numbers with a row for each example: {problem}") from problem
    if probs.ndim != 2 or not len(probs) or probs.shape[1] != labels:
        raise ParameterError(
            f"y_prob needs a row for each of one or more examples and a column for each of {labels} labels, found the "
            f"shape {probs.shape}"
        )
    if wrong := improper_rows(probs):
        row = wrong[0]
        raise ParameterError(
            f"row {row} of y_prob is {probs[row].tolist()}, with the sum {probs[row].sum():.4g}; probabilities are not "
            "negative and sum to 1: take a softmax of scores first"
        )
    return probs


def log_loss(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean negative log-probability of the right label, in nats.

    Args:
        scores: log-scores in nats, up to a constant per example, shape (examples, labels).
        targets: index of the label of each example, shape (examples,).
        weights: weight of each example, shape (examples,); None for equal ones.

    >>> round(log_loss([[0.0, 0.0]], targets=[1]), 3)
    0.693
    """
    log_p, labels = log_probs(scores, impossible=True), np.asarray(targets)
    shares = np.ones(len(labels)) if weights is None else np.asarray(weights)
    return float(np.average(-log_p[np.arange(len(labels)), labels], weights=shares))
