"""Labels for examples that have none, for classifiers to learn from."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from softcloze.verbalizer import Label


def draw_pseudo_labels(
    log_probabilities: NDArray[np.float64], wanted: Mapping[Label, int], dice: np.random.Generator
) -> tuple[list[int], list[Label]]:
    """Examples with the label that is most probable for them, drawn in proportion to how probable it is.

    Args:
        log_probabilities: shape (examples, labels), labels in the order of `wanted`.
        wanted: how many to draw of each label; where there are fewer, all are taken.
        dice: the dice.

    Returns:
        The numbers of the drawn examples, and the label of each.

    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> draw_pseudo_labels(np.log(probabilities), {"消极": 1, "积极": 5}, np.random.default_rng(0))
    ([1, 2], ['消极', '积极'])
    """
    best, drawn, labels = log_probabilities.argmax(1), list[int](), list[Label]()
    for column, (label, count) in enumerate(wanted.items()):
        rows = np.flatnonzero(best == column)
        if len(rows):
            sure = np.exp(log_probabilities[rows, column])
            chosen = dice.choice(rows, min(count, len(rows)), replace=False, p=sure / sure.sum())
            drawn += chosen.tolist()
            labels += [label] * len(chosen)
    return drawn, labels
