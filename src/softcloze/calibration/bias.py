"""Take from every label what the prompt gives it whatever the text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from softcloze.calibration.scores import Scores, as_tuples, check_numbers, log_probs
from softcloze.errors import ParameterError

LABEL_BIASES = ("contextual", "domain", "pmi", "batch")


@dataclass(frozen=True, slots=True)
class LabelBias:
    """A bias of each label, which is subtracted from its score.

    Attributes:
        method: "contextual", "domain", "pmi" or "batch".
        bias: nats, one for each label in the order of the columns of the scores.
    """

    method: str
    bias: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.method not in LABEL_BIASES:
            raise ParameterError(f"method={self.method!r} is no shift; expected {', '.join(LABEL_BIASES)}")
        check_numbers("bias", self.bias, (max(2, len(self.bias)),))

    def apply(self, scores: ArrayLike) -> Scores:
        """Corrected scores: log-probabilities over the labels less the bias.

        Args:
            scores: log-scores in nats, each row up to a constant, shape (batch, labels).

        Returns:
            The same kind of scores, float64; a softmax over labels makes probabilities of them.

        Raises:
            ParameterError: scores of another number of labels, or scores that are not finite.

        >>> LabelBias("pmi", (0.5, -0.5)).apply([[0.0, 0.0]]).round(2)
        array([[-1.19, -0.19]])
        """
        corrected: Scores = log_probs(scores, len(self.bias)) - np.asarray(self.bias)
        return corrected

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which `from_dict` reads back."""
        return {"method": self.method, "bias": list(self.bias)}


def fit_bias(scores: ArrayLike, method: str) -> LabelBias:
    """Learn the bias of each label: the log of its mean probability over inputs that should favour none.

    All four methods compute the same; they differ in the inputs that are scored:

    - "contextual": content-free inputs, which are "N/A", "[MASK]" and "" in the paper;
    - "domain": random texts in the words of the texts to classify, see `domain_texts`;
    - "pmi": a string that stands for the domain alone. With one string the bias is its log-probabilities and
      subtracting them is the ratio P(label | text) / P(label | domain) of the paper, up to a constant per text;
    - "batch": the unlabelled texts to classify themselves.

    Args:
        scores: log-scores of those inputs in nats, each row up to a constant, shape (inputs, labels).
        method: one of the four names.

    Raises:
        ParameterError: no inputs, an unknown method, or scores that are not finite.

    Source:
        "contextual": Zhao et al., ICML 2021, arXiv:2102.09690, W = diag(p)^-1 and b = 0, here in logarithms.
        "domain": Fei et al., ACL 2023, arXiv:2305.19148. Code of both papers averages probabilities over the whole
        vocabulary and normalises the mean; here each input is normalised first, so that an input for which all label
        words are unlikely counts as much as any other.
        "pmi": Holtzman et al., EMNLP 2021, arXiv:2104.08315, domain conditional PMI.
        "batch": Zhou et al., ICLR 2024, arXiv:2309.17249, without the strength that they learn from labelled examples.

    >>> biased = np.log([[0.8, 0.2]])
    >>> shift = fit_bias(biased, "contextual")
    >>> shift.apply(biased)  # nothing is left of the bias
    array([[0., 0.]])
    """
    log_p = log_probs(scores)
    if not len(log_p):
        raise ParameterError(f"{method!r} calibration has no input to learn from; score at least one")
    return LabelBias(method, as_tuples((logsumexp(log_p, axis=0) - np.log(len(log_p))).tolist()))
