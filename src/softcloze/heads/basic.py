"""The base of all heads, and the verbalizer, linear and threshold heads."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from softcloze.backbone import Backbone
from softcloze.verbalizer import AnyVerbalizer, Verbalizer


class Head(nn.Module, ABC):
    """Label scores from features, the loss that trains them, and the decisions they lead to.

    This base gives each example exactly one label: softmax, cross-entropy and the largest score. Scores are in nats, up
    to a constant per example, shape (batch, labels).

    Attributes:
        predicts_labels: whether scores are those of labels.
    """

    predicts_labels: ClassVar[bool] = True

    @abstractmethod
    def label_scores(self, features: Tensor) -> Tensor:
        """Label scores, shape (batch, labels), of features, shape (batch, features)."""

    def loss(self, scores: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean loss in nats.

        Args:
            scores: label scores, shape (batch, labels).
            targets: index of the label of each example, shape (batch,), or probabilities, shape (batch, labels).
            weights: factor of each example's loss before the mean, shape (batch,); None for 1.
        """
        if targets.dim() > 1:  # 0 times minus infinity is NaN, and a label that cannot be adds nothing to the loss
            scores = scores.masked_fill(scores.isneginf() & (targets == 0), torch.finfo(scores.dtype).min / 2)
        return weighted_mean(cross_entropy(scores, targets, reduction="none"), weights)

    def size(self, targets: Tensor) -> int:
        """Number of parts over which the loss of examples with these targets is a mean: the examples."""
        return len(targets)

    def hits(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Examples whose predicted label is the target, or the likeliest label of the target, shape (batch,)."""
        return scores.argmax(-1) == (targets if targets.dim() == 1 else targets.argmax(-1))

    def predicted_labels(self, scores: Tensor) -> set[int]:
        """Indices of the labels that at least one example is given."""
        return set(scores.argmax(-1).tolist())

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of the labels, of calibrated label scores; both have the shape (batch, labels)."""
        result: NDArray[np.float64] = softmax(scores, axis=-1)
        return result


class WordHead(Head):
    """Label scores by the verbalizer from the scores of its words; nothing is trained."""

    def __init__(self, verbalizer: AnyVerbalizer):
        """Score with the words of `verbalizer`."""
        super().__init__()
        self.verbalizer = verbalizer

    def label_scores(self, features: Tensor) -> Tensor:
        """Label log-scores, shape (batch, labels), of features that begin with the scores of the label words."""
        return self.verbalizer.label_scores(features[:, : self.verbalizer.scored])


class LinearHead(Head):
    """A weight vector for each label, multiplied with the state at the mask as the rows of an output embedding are.

    Attributes:
        weight: the weight vectors, shape (labels, state).
        bias: added to each label's score, shape (labels,), or None.

    Source:
        Weight vectors initialised from label words: Hambardzumyan, Khachatrian and May, ACL 2021 (WARP),
        arXiv:2101.00121. Each starts as the mean of the output embeddings of all tokens of all words of its label.
        Scaling or capping of scores, which some models apply after the output embedding, is left out. Solved by
        `fit_exact` it is the linear layer of sequence classification (Devlin et al., NAACL 2019, arXiv:1810.04805),
        here on the state at the mask.

    Example:
        >>> head = LinearHead(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), bias=None)
        >>> head.label_scores(torch.tensor([[3.0, 1.0]]))
        tensor([[3., 2.]], grad_fn=<MmBackward0>)
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        """Copy initial values: `weight` of shape (labels, state), `bias` of shape (labels,) or None."""
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone()) if bias is not None else None

    def label_scores(self, features: Tensor) -> Tensor:
        """Label scores, shape (batch, labels), of the states at the mask, shape (batch, state)."""
        scores = features @ self.weight.T
        return scores if self.bias is None else scores + self.bias


class WordsLinearHead(Head):
    """The scores of the label words, scaled, and a linear layer on the state, added up.

    Attributes:
        words: scores by the label words.
        scale: factor of these scores, shape ().
        weight: weight vectors of the linear layer, shape (labels, state).
        bias: added to each label's score, shape (labels,).

    Example:
        >>> words = Verbalizer({"bad": "bad", "good": "good"})
        >>> head = WordsLinearHead(words, torch.tensor(0.5), torch.eye(2), torch.zeros(2))
        >>> head.label_scores(torch.tensor([[-4.0, -2.0, 0.25, 0.0]]))
        tensor([[-1.7500, -1.0000]], grad_fn=<AddBackward0>)
    """

    def __init__(self, verbalizer: AnyVerbalizer, scale: Tensor, weight: Tensor, bias: Tensor):
        """Copy initial values of the shapes given in the attributes."""
        super().__init__()
        self.words = WordHead(verbalizer)
        self.scale = nn.Parameter(scale.detach().clone())
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())

    def label_scores(self, features: Tensor) -> Tensor:
        """Label scores, shape (batch, labels), of features: scores of the label words, then the state."""
        by_words, by_state = self.parts(features)
        return by_words + by_state

    def parts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The part of the words and that of the linear layer in each label's score, both of shape (batch, labels)."""
        states = features[:, self.words.verbalizer.scored :]
        return self.scale * self.words.label_scores(features), states @ self.weight.T + self.bias


def warp_head(verbalizer: Verbalizer, words: list[tuple[int, ...]], backbone: Backbone) -> LinearHead:
    """Initialise a linear head from label words: one word of one token a label keeps its score.

    Args:
        verbalizer: the label words and their weights.
        words: token ids of each word, in the order of `verbalizer.all_words`.
        backbone: model whose output embedding is copied.
    """
    tokens = torch.tensor([token for word in words for token in word])
    rows, bias = backbone.lm_head_rows(tokens)
    # share of each token in each label: a label's words by weight, the tokens of a word equally
    shares = torch.zeros(len(verbalizer.labels), len(tokens))
    lengths = iter(map(len, words))
    first = 0
    for label, weights in enumerate(verbalizer.weights):
        for weight in weights:
            length = next(lengths)
            shares[label, first : first + length] = weight / sum(weights) / length
            first += length
    return LinearHead(shares @ rows, shares @ bias if bias is not None else None)


class ThresholdHead(Head):
    """Log-odds of each label on its own: slope * (log-probability of its words - threshold).

    An example has any number of labels: those whose log-odds are above 0. Probabilities are logistic, and the loss is
    the binary cross-entropy of the average label.

    Attributes:
        words: scores by the label words.
        slopes: shape (labels,).
        thresholds: log-probabilities in nats above which an example has the label, shape (labels,).

    Source:
        A logistic curve on the score of a classifier: Platt, Advances in Large Margin Classifiers 1999.
    """

    slopes: Tensor
    thresholds: Tensor

    def __init__(self, verbalizer: AnyVerbalizer, slopes: Tensor, thresholds: Tensor):
        """Store slopes and thresholds, each of shape (labels,)."""
        super().__init__()
        self.words = WordHead(verbalizer)
        self.register_buffer("slopes", slopes)
        self.register_buffer("thresholds", thresholds)

    def label_scores(self, features: Tensor) -> Tensor:
        """Log-odds, shape (batch, labels), of log-probabilities of the label words over the whole vocabulary."""
        return self.slopes * (self.words.label_scores(features) - self.thresholds)

    def loss(self, scores: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean binary cross-entropy in nats; `targets` are 1.0 or 0.0, both and `weights` of shape (batch, labels)."""
        return weighted_mean(binary_cross_entropy_with_logits(scores, targets, reduction="none"), weights)

    def hits(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Examples that are given all of their labels and no other, shape (batch,)."""
        return ((scores > 0) == (targets > 0)).all(-1)

    def predicted_labels(self, scores: Tensor) -> set[int]:
        """Indices of the labels that at least one example is given."""
        return set((scores > 0).any(0).nonzero().flatten().tolist())

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of each label on its own, of log-odds; both have the shape (batch, labels)."""
        result: NDArray[np.float64] = expit(scores)
        return result


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of losses times weights; None for weights of 1."""
    return losses.mean() if weights is None else (losses * weights.to(losses)).mean()


def learn_thresholds(
    verbalizer: AnyVerbalizer, features: Tensor, targets: Tensor, weights: NDArray[np.float64] | None = None
) -> ThresholdHead:
    """Fit a logistic curve for each label to the scores of the training examples.

    Args:
        verbalizer: labels and their words.
        features: log-probabilities of the label words, shape (batch, words).
        targets: 1 where the example has the label and 0 elsewhere, shape (batch, labels); both occur for each label.
        weights: weight of each label in each example, shape (batch, labels); None for equal ones.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and only `fit` needs it

    scores = WordHead(verbalizer).label_scores(features).double().numpy()
    slopes, thresholds = [], []
    by_label = weights.T if weights is not None else [None] * scores.shape[1]
    for label_scores, present, of_label in zip(scores.T, targets.T.numpy(), by_label, strict=True):
        curve = LogisticRegression().fit(label_scores[:, None], present, of_label)
        (slope,), (intercept,) = curve.coef_[0], curve.intercept_
        slopes.append(slope)
        # a score that does not depend on the label has no slope, and hence no threshold
        thresholds.append(-intercept / slope if abs(slope) > 1e-9 else float(np.median(label_scores)))
    return ThresholdHead(verbalizer, torch.tensor(slopes).float(), torch.tensor(thresholds).float())
