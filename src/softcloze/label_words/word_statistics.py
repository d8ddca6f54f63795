"""Which words to keep: those that the model says often enough, and those that speak for their own label."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
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


def calibrated_weights(priors: Floats, owners: ArrayLike) -> Floats:
    """Log-weights with which "log_sum_prob" gives the log of a label's mean calibrated probability.

    A calibrated probability is a word's probability divided by its prior. With a weight of 1 / (n * prior) for each of
    the n words of a label the sum of weighted probabilities is their mean: log sum(w p) = log mean(p / prior).

    Args:
        priors: the log-prior of each word in nats, shape (words,).
        owners: the number of the label of each word, shape (words,).

    Returns:
        Nats, shape (words,).

    Source:
        Hu et al., contextualized calibration. They normalise the calibrated probabilities once more over all words,
        which takes the same from every label and so changes no label's probability.

    >>> np.exp(calibrated_weights(np.log([0.1, 0.2, 0.5]), [0, 0, 1])).round(1)
    array([5. , 2.5, 2. ])
    """
    label_of = np.asarray(owners)
    weights: Floats = -priors - np.log(np.bincount(label_of)[label_of])
    return weights


def learn_weights(scores: Floats, owners: ArrayLike, targets: ArrayLike, start: Floats, penalty: float) -> Floats:
    """Log-weights of the words under which the right labels are likeliest, not far from where they start.

    Minimises the sum of the cross-entropy of the texts and of penalty / 2 * (log-weight - start)^2 of the words, as if
    log-weights were normally distributed about their start with variance 1 / penalty.

    Args:
        scores: log-scores of the words for labelled texts in nats, each row up to a constant, shape (texts, words).
        owners: the number of the label of each word, shape (words,).
        targets: the number of the right label of each text, shape (texts,).
        start: log-weights to start from, shape (words,).
        penalty: above 0; the higher, the closer the weights stay to `start`.

    Returns:
        Nats, shape (words,).

    Source:
        Hu et al., learnable refinement. They learn weights, normalised by a softmax over the words of a label, of a
        mean of log-probabilities, by gradient steps that change the model as well. In that mean one word that fits no
        text costs its label as much as it likes; ours weighs probabilities, as without labels, so that learning starts
        from what contextual calibration gives and a frozen model's scores are computed only once.

    >>> scores = np.log([[0.7, 0.3], [0.6, 0.4]])  # both texts look like the first label
    >>> learn_weights(scores, [0, 1], [0, 1], start=np.zeros(2), penalty=0.01).round(2)
    array([-0.31,  0.31])
    """
    label_of, right = np.asarray(owners), np.asarray(targets)
    members = label_of[:, None] == np.arange(label_of.max() + 1)  # (words, labels)
    rows = np.arange(len(right))

    def loss(change: Floats) -> tuple[float, Floats]:
        weighted = scores + start + change
        labels = np.stack([logsumexp(weighted[:, own], axis=1) for own in members.T], axis=1)
        log_p = log_softmax(labels, axis=1)
        error = np.exp(log_p)
        error[rows, right] -= 1
        shares = np.exp(weighted - labels[:, label_of])  # of each word in its label's score
        gradient: NDArray[np.float64] = (error[:, label_of] * shares).sum(axis=0) + penalty * change
        return penalty / 2 * float(change @ change) - float(log_p[rows, right].sum()), gradient

    found = minimize(loss, np.zeros(len(start)), jac=True, method="L-BFGS-B")
    weights: Floats = start + found.x
    return weights
