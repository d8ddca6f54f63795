"""How much each word counts: from how often the model says it anyway, or learnt from labelled texts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from softcloze.refinement.selection import Floats


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
