"""Statistics that select and weight label words: priors, relevance, and learnt weights."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.metrics.pairwise import cosine_similarity

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def among_words(scores: Floats) -> Floats:
    """Normalise scores over all label words; constants added to a text cancel.

    Args:
        scores: log-scores in nats, up to a constant per text, shape (texts, words).

    Returns:
        Nats, same shape; `exp` of each row sums to 1.
    """
    log_probs: Floats = log_softmax(np.asarray(scores, dtype=np.float64), axis=1)
    return log_probs


def log_priors(log_probs: Floats) -> Floats:
    """Contextual priors: the log of each word's mean probability over texts, in nats, shape (words,).

    >>> np.exp(log_priors(np.log([[0.2, 0.8], [0.4, 0.6]]))).round(2)
    array([0.3, 0.7])
    """
    priors: Floats = logsumexp(log_probs, axis=0) - np.log(len(log_probs))
    return priors


def frequent(priors: Floats, owners: ArrayLike, share: float) -> Mask:
    """Mask of the words that stay if each label drops its words of the lowest prior; first words always stay.

    Args:
        priors: of each word, or their logarithms, shape (words,).
        owners: index of the label of each word, shape (words,).
        share: of each label's words to drop, rounded down, from 0 to below 1.

    Source:
        Hu et al., frequency refinement. They rank the words of all labels together; here each label drops the same
        share, so that every label keeps words.

    >>> frequent(np.array([0.1, 0.5, 0.2, 0.3]), [0, 0, 0, 0], share=0.5)
    array([ True,  True, False,  True])
    """
    label_of = np.asarray(owners)
    keep = np.ones(len(label_of), dtype=bool)
    for label in np.unique(label_of):
        words = np.flatnonzero(label_of == label)
        rarest = words[np.argsort(priors[words], kind="stable")][: int(share * len(words))]
        keep[rarest] = False
    keep[_first_words(label_of)] = True
    return keep


def relevance(log_probs: Floats, owners: ArrayLike) -> Floats:
    """Ratio of a word's similarity with the name of its own label to that with the names of the others.

    Args:
        log_probs: of each word on each text, in nats, shape (texts, words).
        owners: index of the label of each word, shape (words,).

    Returns:
        Above 0, shape (words,): the cosine of the word's probabilities over the texts with those of its label's first
        word, divided by its mean cosine with the first words of the other labels. 1 or more speaks for its own label.

    Source:
        Hu et al., relevance refinement, R(v) of section 3.2. The authors' code differs from the paper: it first
        subtracts from each logit its mean over the texts.

    >>> log_probs = np.log([[0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]])
    >>> relevance(log_probs, [0, 0, 1, 1]).round(2)
    array([3.08, 1.  , 3.08, 1.  ])
    """
    label_of = np.asarray(owners)
    # relative to each word's maximum, so that rare words do not vanish
    vectors = np.exp(log_probs - log_probs.max(axis=0)).T
    similar = cosine_similarity(vectors, vectors[_first_words(label_of)])  # (words, labels)
    with_own = similar[np.arange(len(label_of)), label_of]
    ratios: Floats = with_own * (similar.shape[1] - 1) / (similar.sum(axis=1) - with_own)
    return ratios


def relevant(log_probs: Floats, owners: ArrayLike, minimum: float) -> Mask:
    """Mask of the words with a relevance of `minimum` or more; first words always stay."""
    keep: Mask = relevance(log_probs, owners) >= minimum
    keep[_first_words(np.asarray(owners))] = True
    return keep


def _first_words(label_of: NDArray[np.int_]) -> NDArray[np.int_]:
    """The index of the first word of each label."""
    return np.unique(label_of, return_index=True)[1]


def calibrated_weights(priors: Floats, owners: ArrayLike) -> Floats:
    """Log-weights for "log_sum_prob" that give the log of a label's mean calibrated probability.

    A calibrated probability is a word's probability divided by its prior. With the weights 1 / (n * prior) for the n
    words of a label, the weighted sum is the mean: log sum(w p) = log mean(p / prior).

    Args:
        priors: the log-prior of each word in nats, shape (words,).
        owners: index of the label of each word, shape (words,).

    Returns:
        Nats, shape (words,).

    Source:
        Hu et al., contextualized calibration. They also normalise the calibrated probabilities over all words, which
        subtracts the same from every label and so does not change label probabilities.

    >>> np.exp(calibrated_weights(np.log([0.1, 0.2, 0.5]), [0, 0, 1])).round(1)
    array([5. , 2.5, 2. ])
    """
    label_of = np.asarray(owners)
    weights: Floats = -priors - np.log(np.bincount(label_of)[label_of])
    return weights


def learn_weights(scores: Floats, owners: ArrayLike, targets: ArrayLike, start: Floats, penalty: float) -> Floats:
    """Learn log-weights of the words by penalised cross-entropy.

    Minimises the cross-entropy of the texts plus penalty / 2 * (log-weight - start)^2 summed over the words: the
    log-weights have a normal prior around `start` with variance 1 / penalty.

    Args:
        scores: log-scores of the words on labelled texts in nats, up to a constant per text, shape (texts, words).
        owners: index of the label of each word, shape (words,).
        targets: index of the right label of each text, shape (texts,).
        start: initial log-weights, shape (words,).
        penalty: above 0; the higher, the closer the weights stay to `start`.

    Returns:
        Nats, shape (words,).

    Source:
        Hu et al., learnable refinement. They weight a mean of log-probabilities, with a softmax over the words of a
        label, by gradient steps that also change the model. In that mean one unlikely word can dominate its label; here
        the weights multiply probabilities, so that learning starts from contextual calibration, and the scores of the
        frozen model are computed once.

    >>> scores = np.log([[0.7, 0.3], [0.6, 0.4]])  # both texts look like the first label
    >>> learn_weights(scores, [0, 1], [0, 1], start=np.zeros(2), penalty=0.01).round(2)
    array([-0.31,  0.31])
    """
    label_of, right = np.asarray(owners), np.asarray(targets)
    members = label_of[:, None] == np.arange(label_of.max() + 1)  # (words, labels)
    rows = np.arange(len(right))

    def loss(change: Floats) -> tuple[float, Floats]:
        weighted = scores + start + change
        labels = np.stack([logsumexp(weighted[:, of_label], axis=1) for of_label in members.T], axis=1)
        log_p = log_softmax(labels, axis=1)
        error = np.exp(log_p)
        error[rows, right] -= 1
        shares = np.exp(weighted - labels[:, label_of])  # of each word in its label's score
        gradient: NDArray[np.float64] = (error[:, label_of] * shares).sum(axis=0) + penalty * change
        return penalty / 2 * float(change @ change) - float(log_p[rows, right].sum()), gradient

    result = minimize(loss, np.zeros(len(start)), jac=True, method="L-BFGS-B")
    weights: Floats = start + result.x
    return weights
