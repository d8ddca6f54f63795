"""Which words to keep: those that the model says often enough, and those that speak for their own label."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp
from sklearn.metrics.pairwise import cosine_similarity

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def among_words(scores: Floats) -> Floats:
    """Log-probabilities of each word among all label words, so that constants added to rows make no difference.

    Args:
        scores: log-scores in nats, each row up to a constant, shape (texts, words).

    Returns:
        Nats, same shape; `exp` of each row sums to 1.
    """
    log_probs: Floats = log_softmax(np.asarray(scores, dtype=np.float64), axis=1)
    return log_probs


def log_priors(log_probs: Floats) -> Floats:
    """Log of the mean probability of each word over texts, in nats, shape (words,): its contextual prior.

    >>> np.exp(log_priors(np.log([[0.2, 0.8], [0.4, 0.6]]))).round(2)
    array([0.3, 0.7])
    """
    priors: Floats = logsumexp(log_probs, axis=0) - np.log(len(log_probs))
    return priors


def frequent(priors: Floats, owners: ArrayLike, share: float) -> Mask:
    """Which words stay when each label gives up those of the lowest prior; its first word, which names it, stays.

    Args:
        priors: of each word, or their logarithms, shape (words,).
        owners: the number of the label of each word, shape (words,).
        share: of the words of each label that go, rounded down, from 0 to below 1.

    Source:
        Hu et al., frequency refinement, who rank the words of all labels together; here each label gives up the same
        share, so that none is left without words.

    >>> frequent(np.array([0.1, 0.5, 0.2, 0.3]), [0, 0, 0, 0], share=0.5)
    array([ True,  True, False,  True])
    """
    label_of = np.asarray(owners)
    keep = np.ones(len(label_of), dtype=bool)
    for label in np.unique(label_of):
        own = np.flatnonzero(label_of == label)
        rarest = own[np.argsort(priors[own], kind="stable")][: int(share * len(own))]
        keep[rarest] = False
    keep[_first_words(label_of)] = True
    return keep


def relevance(log_probs: Floats, owners: ArrayLike) -> Floats:
    """How much more a word goes with the name of its own label than with those of the others.

    Args:
        log_probs: of each word over a number of texts, in nats, shape (texts, words).
        owners: the number of the label of each word, shape (words,).

    Returns:
        Above 0, shape (words,): the cosine of the word's probabilities over the texts with those of its label's first
        word, divided by its mean cosine with the first words of the other labels. 1 and more is on the right side.

    Source:
        Hu et al., relevance refinement, R(v) of their section 3.2. The authors' code differs from the paper: it
        takes from each logit its mean over the texts first.

    >>> log_probs = np.log([[0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]])
    >>> relevance(log_probs, [0, 0, 1, 1]).round(2)
    array([3.08, 1.  , 3.08, 1.  ])
    """
    label_of = np.asarray(owners)
    # relative to its highest, so that words that are rare everywhere do not vanish
    vectors = np.exp(log_probs - log_probs.max(axis=0)).T
    similar = cosine_similarity(vectors, vectors[_first_words(label_of)])  # (words, labels)
    own = similar[np.arange(len(label_of)), label_of]
    ratios: Floats = own * (similar.shape[1] - 1) / (similar.sum(axis=1) - own)
    return ratios


def relevant(log_probs: Floats, owners: ArrayLike, minimum: float) -> Mask:
    """Which words are relevant to their label by `minimum` or more; its first word, which names it, always is."""
    keep: Mask = relevance(log_probs, owners) >= minimum
    keep[_first_words(np.asarray(owners))] = True
    return keep


def _first_words(label_of: NDArray[np.int_]) -> NDArray[np.int_]:
    """The place of the first word of each label."""
    return np.unique(label_of, return_index=True)[1]
