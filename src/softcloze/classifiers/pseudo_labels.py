"""Pseudo-labels: examples to train on, labelled by a classifier."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from softcloze.verbalizer import Label


def draw_pseudo_labels(
    log_probabilities: NDArray[np.float64], wanted: Mapping[Label, int], generator: np.random.Generator
) -> tuple[list[int], list[Label]]:
    """Draw examples to train on, each with its most probable label, in proportion to the probability of that label.

    Args:
        log_probabilities: in nats, shape (examples, labels), labels in the order of `wanted`.
        wanted: number of examples to draw of each label; where fewer have it, all are taken.
        generator: source of randomness.

    Returns:
        The indices of the drawn examples, and the label of each.

    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> draw_pseudo_labels(np.log(probabilities), {"消极": 1, "积极": 5}, np.random.default_rng(0))
    ([1, 2], ['消极', '积极'])
    """
    best, drawn, labels = log_probabilities.argmax(1), list[int](), list[Label]()
    for column, (label, count) in enumerate(wanted.items()):
        rows = np.flatnonzero(best == column)
        if len(rows):
            confidence = np.exp(log_probabilities[rows, column])
            chosen = generator.choice(rows, min(count, len(rows)), replace=False, p=confidence / confidence.sum())
            drawn += chosen.tolist()
            labels += [label] * len(chosen)
    return drawn, labels
