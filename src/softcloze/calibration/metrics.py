"""How far probabilities can be trusted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from softcloze.errors import ParameterError

TOLERANCE = 1e-4  # how far probabilities in single precision may sum to something else than 1


def expected_calibration_error(
    y_true: ArrayLike, y_prob: ArrayLike, *, labels: Sequence[str | int], bins: int = 10
) -> float:
    """Mean gap between how sure predictions are and how often they are right.

    Examples are put into bins of equal width by the probability of the predicted label, the first among equals. The
    gap of a bin is the difference between the share of right predictions and the mean probability.

    Args:
        y_true: the right label of each example, shape (batch,).
        y_prob: probabilities of the labels, shape (batch, labels).
        labels: the labels in the order of the columns of `y_prob`, such as `classes_`.
        bins: how many bins there are between 0 and 1; a bin holds its upper edge, but not its lower one.

    Returns:
        From 0 (as often right as sure) to 1 (always sure and never right): the mean gap of the bins, weighted by their
        numbers of examples.

    Raises:
        ParameterError: shapes that do not fit, labels that are not in `labels`, rows that are no probabilities.

    Source:
        Naeini et al., AAAI 2015, section "Calibration measures", with bins of equal width and the probability of the
        predicted label as in Guo et al., ICML 2017, arXiv:1706.04599, equation 3.

    >>> sure = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]  # 0.9 twice and right once, 0.8 once and right
    >>> round(expected_calibration_error(["a", "b", "b"], sure, labels=["a", "b"]), 4)  # 2/3 * 0.4 + 1/3 * 0.2
    0.3333
    """
    truth, names = np.asarray(y_true), np.asarray(labels).tolist()
    probs = _probabilities(y_prob, len(names))
    if bins < 1:
        raise ParameterError(f"bins={bins}, but it has to be at least 1")
    if truth.shape != (len(probs),):
        raise ParameterError(
            f"y_prob holds {len(probs)} examples, so y_true needs as many labels, found the shape {truth.shape}"
        )
    number = {name: column for column, name in enumerate(names)}
    if len(number) < len(names):
        raise ParameterError(f"labels have to be different, found {names!r}")
    unknown = [name for name in dict.fromkeys(truth.tolist()) if name not in number]
    if unknown:
        raise ParameterError(f"y_true holds {', '.join(map(repr, unknown))}, but labels are {names!r}")
    right = np.array([number[name] for name in truth.tolist()]) == probs.argmax(axis=1)
    sure = probs.max(axis=1)
    bin_of = np.searchsorted(np.arange(1, bins) / bins, sure, side="left")
    # the number of examples in a bin cancels: its weight has it above, its means below
    gaps = np.bincount(bin_of, weights=right - sure)
    return float(np.abs(gaps).sum() / len(sure))


def _probabilities(y_prob: ArrayLike, labels: int) -> np.ndarray:
    try:
        probs = np.asarray(y_prob, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ParameterError(f"y_prob has to be a table of numbers, one row an example: {problem}") from problem
    if probs.ndim != 2 or not len(probs) or probs.shape[1] != labels:
        raise ParameterError(
            f"y_prob needs a row for each of one or more examples and a column for each of {labels} labels, found the "
            f"shape {probs.shape}"
        )
    proper = (probs >= 0).all(axis=1) & (np.abs(probs.sum(axis=1) - 1) <= TOLERANCE)
    if not proper.all():
        row = int(proper.argmin())
        raise ParameterError(
            f"row {row} of y_prob is {probs[row].tolist()}, with the sum {probs[row].sum():.4g}; probabilities are not "
            "negative and sum to 1, so take a softmax of scores first"
        )
    return probs
