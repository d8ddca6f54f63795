"""Subtract each label's bias, estimated on inputs that favour no label, or on labelled examples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from softcloze.calibration.scores import Calibration, Scores, as_tuples, label_count, log_probs, validate_numbers
from softcloze.errors import ParameterError

LABEL_BIASES = ("contextual", "domain", "pmi", "batch")  # those of inputs that favour no label
PENALTY = 0.01  # nats per example and squared nat of a bias, halved


@dataclass(frozen=True, slots=True)
class LabelBias(Calibration):
    """A bias for each label, subtracted from its score.

    Attributes:
        method: "contextual", "domain", "pmi", "batch" or "labels".
        bias: nats, one for each label in the order of the scores.
    """

    bias: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.method not in (known := (*LABEL_BIASES, "labels")):
            raise ParameterError(f"method={self.method!r} is not a label bias; expected {', '.join(known)}")
        validate_numbers("bias", self.bias, (label_count(self.bias),))

    def _apply(self, scores: ArrayLike) -> Scores:
        """Subtract the bias from the log-probabilities of the labels.

        >>> LabelBias("pmi", (0.5, -0.5)).apply([[0.0, 0.0]]).round(2)
        array([[-1.19, -0.19]])
        """
        calibrated: Scores = log_probs(scores, len(self.bias), impossible=True) - np.asarray(self.bias)
        return calibrated


def fit_bias(scores: ArrayLike, method: str) -> LabelBias:
    """Learn the bias of each label: the log of its mean probability over inputs that favour no label.

    The four methods differ only in the inputs:

    - "contextual": content-free inputs, which are "N/A", "[MASK]" and "" in the paper;
    - "domain": random texts of words from the texts to classify, see `domain_texts`;
    - "pmi": one string that names the domain; subtracting its log-probabilities gives the ratio
      P(label | text) / P(label | domain) of the paper, up to a constant per text;
    - "batch": the unlabelled texts to classify.

    Args:
        scores: log-scores of the inputs in nats, up to a constant per input, shape (inputs, labels).
        method: one of the four names.

    Raises:
        ParameterError: no inputs, an unknown method, or scores that are not finite.

    Source:
        "contextual": Zhao et al., ICML 2021, arXiv:2102.09690, W = diag(p)^-1 and b = 0, here in logarithms.
        "domain": Fei et al., ACL 2023, arXiv:2305.19148. The code of both papers averages probabilities over the whole
        vocabulary and normalises the mean; here each input is normalised first, so that inputs with unlikely label
        words count as much as the others.
        "pmi": Holtzman et al., EMNLP 2021, arXiv:2104.08315, domain conditional PMI.
        "batch": Zhou et al., ICLR 2024, arXiv:2309.17249, without its strength, which is learnt from labelled examples.

    >>> biased = np.log([[0.8, 0.2]])
    >>> fit_bias(biased, "contextual").apply(biased)  # without the bias
    array([[0., 0.]])
    """
    if method not in LABEL_BIASES:
        raise ParameterError(f"method={method!r} is not a label bias; expected {', '.join(LABEL_BIASES)}")
    log_p = log_probs(scores)
    if not len(log_p):
        raise ParameterError(f"{method!r} calibration has no input to learn from; score at least one")
    return LabelBias(method, as_tuples((logsumexp(log_p, axis=0) - np.log(len(log_p))).tolist()))


def fit_labels_bias(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> LabelBias:
    """Learn the bias of each label from labelled examples: intercepts of a logistic regression, with little L2.

    Args:
        scores: log-scores in nats, up to a constant per example, shape (examples, labels).
        targets: index of the label of each example, shape (examples,).
        weights: weight of each example, shape (examples,); None for equal ones.

    Raises:
        ParameterError: no examples, or scores that are not finite.

    >>> np.round(fit_labels_bias([[2.0, 0.0], [2.0, 0.0]], targets=[0, 1]).bias, 1)
    array([ 1., -1.])
    """
    from scipy.optimize import minimize  # slow to import, and only `fit` needs it

    log_p, labels = log_probs(scores), np.asarray(targets)
    shares = example_shares(len(labels), weights)
    right = np.eye(log_p.shape[1])[labels]

    def loss(bias: Scores) -> tuple[float, Scores]:
        found = log_softmax(log_p - bias, axis=1)
        gradient = shares @ (right - np.exp(found)) + PENALTY * bias
        return float(-shares @ (found * right).sum(1) + PENALTY / 2 * bias @ bias), gradient

    found = minimize(loss, np.zeros(log_p.shape[1]), jac=True, method="L-BFGS-B", options={"gtol": 1e-8})
    return LabelBias("labels", as_tuples(found.x.tolist()))


def example_shares(count: int, weights: ArrayLike | None) -> Scores:
    """Shares of examples, which sum to 1, from their weights; None for equal ones."""
    given = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray(given / given.sum())


def agrees(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> bool:
    """Return True if label words say something about the labels, whatever their bias.

    The score of a label is then higher in its own examples than in the average one, in the mean over the labels and by
    more than a standard error. In a logistic regression with a bias for each label the scores have a positive factor.

    Args:
        scores: log-scores in nats, up to a constant per example, shape (examples, labels).
        targets: index of the label of each example, shape (examples,).
        weights: weight of each example, shape (examples,); None for equal ones.

    >>> agrees([[3.0, 0.0], [9.0, 0.0]], targets=[1, 0]), agrees([[3.0, 0.0], [9.0, 0.0]], targets=[0, 1])
    (True, False)
    """
    log_p, labels = log_probs(scores), np.asarray(targets)
    shares = example_shares(len(labels), weights)
    higher = log_p[np.arange(len(labels)), labels] - (shares @ log_p)[labels]
    mean = shares @ higher
    return bool(mean > np.sqrt(shares**2 @ (higher - mean) ** 2))
