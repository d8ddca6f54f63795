"""The verbalizer head, linear heads and the threshold head."""

import numpy as np
import torch
from torch import Tensor, nn

from softcloze.backbone import Backbone
from softcloze.verbalizer import AnyVerbalizer, Verbalizer


class WordHead(nn.Module):
    """What a verbalizer makes of the scores of its words; it has nothing to train."""

    def __init__(self, verbalizer: AnyVerbalizer):
        """Read the words of `verbalizer`."""
        super().__init__()
        self.verbalizer = verbalizer

    def label_scores(self, features: Tensor) -> Tensor:
        """Label log-scores, shape (batch, labels), of features that begin with what the verbalizer takes."""
        return self.verbalizer.label_scores(features[:, : self.verbalizer.scored])


class RowHead(nn.Module):
    """A row for each label, multiplied with the state at the mask as the rows of a vocabulary are.

    Attributes:
        weight: the rows, shape (labels, state).
        bias: what is added to each label's score, shape (labels,), or None.

    Source:
        Rows that start from label words: Hambardzumyan, Khachatrian and May, ACL 2021 (WARP), arXiv:2101.00121. A row
        starts as the mean of those of all tokens of all words of its label. Rows that start at random are the
        linear layer of sequence classification (Devlin et al., NAACL 2019, arXiv:1810.04805), here on the state at the
        mask and without dropout. What some models do to their scores afterwards (scaling, capping) is left out.

    Example:
        >>> head = RowHead(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), bias=None)
        >>> head.label_scores(torch.tensor([[3.0, 1.0]]))
        tensor([[3., 2.]], grad_fn=<MmBackward0>)
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        """Start from these values."""
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone()) if bias is not None else None

    def label_scores(self, features: Tensor) -> Tensor:
        """Label scores, shape (batch, labels), of the states at the mask, shape (batch, state)."""
        scores = features @ self.weight.T
        return scores if self.bias is None else scores + self.bias


def word_rows(verbalizer: Verbalizer, words: list[tuple[int, ...]], backbone: Backbone) -> RowHead:
    """Rows that start as those of the label words, so that one word of one token a label scores as it did.

    Args:
        verbalizer: the label words and their weights.
        words: token ids of each word, in the order of `verbalizer.all_words`.
        backbone: whose output embedding to copy.
    """
    tokens = torch.tensor([token for word in words for token in word])
    rows, bias = backbone.lm_head_rows(tokens)
    # what each token counts for in each label: a label's words by weight, a word's tokens alike
    shares = torch.zeros(len(verbalizer.labels), len(tokens))
    lengths = iter(map(len, words))
    first = 0
    for label, weights in enumerate(verbalizer.weights):
        for weight in weights:
            length = next(lengths)
            shares[label, first : first + length] = weight / sum(weights) / length
            first += length
    return RowHead(shares @ rows, shares @ bias if bias is not None else None)


def random_rows(labels: int, backbone: Backbone, generator: np.random.Generator) -> RowHead:
    """Rows that start at random, normal with a standard deviation of 0.02 as in BERT, without bias at first."""
    drawn = generator.normal(0, 0.02, (labels, backbone.state_width))
    return RowHead(torch.tensor(drawn, dtype=torch.float32), torch.zeros(labels))


class ThresholdHead(nn.Module):
    """The log-odds of each label by itself: slope * (log-probability of its words - threshold).

    Attributes:
        words: reads the label words.
        slopes: shape (labels,).
        thresholds: log-probabilities in nats from which on a label is the likelier thing, shape (labels,).

    Source:
        A logistic curve on the score of a classifier: Platt, Advances in Large Margin Classifiers 1999.
    """

    slopes: Tensor
    thresholds: Tensor

    def __init__(self, verbalizer: AnyVerbalizer, slopes: Tensor, thresholds: Tensor):
        """Take what `learn_thresholds` found."""
        super().__init__()
        self.words = WordHead(verbalizer)
        self.register_buffer("slopes", slopes)
        self.register_buffer("thresholds", thresholds)

    def label_scores(self, features: Tensor) -> Tensor:
        """Log-odds, shape (batch, labels), of log-probabilities of the label words over the whole vocabulary."""
        return self.slopes * (self.words.label_scores(features) - self.thresholds)


def learn_thresholds(verbalizer: AnyVerbalizer, features: Tensor, targets: Tensor) -> ThresholdHead:
    """A logistic curve for each label, through the scores of the training examples.

    Args:
        verbalizer: labels and their words.
        features: log-probabilities of the label words, shape (batch, words).
        targets: 1 where the example has the label and 0 elsewhere, shape (batch, labels); both occur for each label.
    """
    from sklearn.linear_model import LogisticRegression

    scores = WordHead(verbalizer).label_scores(features).double().numpy()
    slopes, thresholds = [], []
    for own, present in zip(scores.T, targets.T.numpy(), strict=True):
        curve = LogisticRegression().fit(own[:, None], present)
        (slope,), (intercept,) = curve.coef_[0], curve.intercept_
        slopes.append(slope)
        # a score that says nothing of the label has no slope, and no threshold to be read off it
        thresholds.append(-intercept / slope if abs(slope) > 1e-9 else float(np.median(own)))
    return ThresholdHead(verbalizer, torch.tensor(slopes).float(), torch.tensor(thresholds).float())
