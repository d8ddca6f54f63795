"""Rules for prompts that give nearly everything one label."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

WINS = 3.0  # times the odds of chance: 0.75 for one of two labels, 0.43 for one of five
DOMINANT, EXCESS = 0.9, 0.2  # shares of the examples
FEWEST = 4  # examples that the label does not belong to


def winning_label(priors: Sequence[float], times: float = WINS) -> int | None:
    """The label that wins on content-free input with more than `times` the odds of chance, by index; None if none does.

    Args:
        priors: probability of each label on content-free input.
        times: odds in units of those of chance.

    >>> winning_label([0.9, 0.1]), winning_label([0.7, 0.3]), winning_label([0.2, 0.1, 0.7])
    (0, None, 2)
    """
    prior, chance = max(priors), 1 / len(priors)
    if prior * (1 - chance) <= times * chance * (1 - prior):
        return None
    return list(priors).index(prior)


def dominant_label(predicted: ArrayLike, truth: ArrayLike) -> tuple[int, float] | None:
    """The label that most examples are given, far more than have it, by index, and the share of those given it.

    None unless the share is at least `DOMINANT` and `EXCESS` above the right one, and the label is wrong for `FEWEST`
    examples or more: such label words, or such a wording, do not tell the labels apart.

    Args:
        predicted: index of the label that each example is given, shape (examples,).
        truth: index of its right label, shape (examples,).

    >>> dominant_label([1] * 19 + [0], [0, 1] * 10)
    (1, 0.95)
    >>> dominant_label([1] * 19 + [0], [1] * 16 + [0] * 4) is None
    True
    """
    given, right = np.asarray(predicted), np.asarray(truth)
    label = int(np.bincount(given).argmax())
    share = float((given == label).mean())
    if share < max(DOMINANT, float((right == label).mean()) + EXCESS):
        return None
    if ((given == label) & (right != label)).sum() < FEWEST:
        return None
    return label, share
