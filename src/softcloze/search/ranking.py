"""Which words each label suggests, by itself: a score for every word, and how many of the first go on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_LARGEST = -1e-12  # a log-probability of 0 would have infinite odds


def petal(log_probs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The balanced log-likelihood ratio: how much greater a word's odds are in the label's examples than elsewhere.

    Args:
        log_probs: of each word in each example, nats, shape (examples, words).
        own: whether an example has the label, shape (examples,).

    Returns:
        The mean log-odds of each word over the label's examples less the mean over all others, nats, shape (words,).

    Source:
        Schick, Schmid and Schütze, COLING 2020, arXiv:2010.13641, section 3: their ratio for one label against the
        rest, with examples weighted so that both sides count the same, divided by the number of other examples, which
        is the same for all words.

    >>> petal(np.log([[0.5, 0.2], [0.2, 0.2]]), np.array([True, False])).round(3)
    array([1.386, 0.   ])
    """
    capped = np.minimum(log_probs, _LARGEST)
    log_odds = capped - np.log(-np.expm1(capped))
    ratio: np.ndarray = log_odds[own].mean(0) - log_odds[~own].mean(0)
    return ratio


def lm_bff(log_probs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The conditional likelihood: how likely a word is in the label's examples, whatever it is elsewhere.

    Args:
        log_probs: as for `petal`.
        own: as for `petal`.

    Returns:
        The mean log-probability of each word over the label's examples, nats, shape (words,).

    Source:
        Gao, Fisch and Chen, ACL 2021, arXiv:2012.15723, section 5.1, by which they prune the vocabulary for each
        label; their sum over the examples divided by how many these are.
    """
    likelihood: np.ndarray = log_probs[own].mean(0)
    return likelihood


@dataclass(frozen=True, slots=True)
class Method:
    """A way of suggesting words for a label.

    Attributes:
        rank: gives the score of each word; arguments as for `petal`.
        depths: at how many of the label's likeliest words to look; where there are several, cross-validation takes one.
        first: how many go on, at most, those with the highest scores.
    """

    rank: Callable[[np.ndarray, np.ndarray], np.ndarray]
    depths: tuple[int, ...]
    first: int


METHODS = {
    # among very many words some have great odds by chance, so that it takes the likeliest, as many as in the paper
    "petal": Method(petal, depths=(1000,), first=10),
    # here the likeliest words are all that is ranked
    "lm-bff": Method(lm_bff, depths=(10, 30, 100), first=100),
}
