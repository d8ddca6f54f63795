"""Independent label scores: each label by its own words, against a threshold of its own."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from softcloze.heads.words import WordHead
from softcloze.verbalizer import AnyVerbalizer


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
    scores = WordHead(verbalizer).label_scores(features).double().numpy()
    slopes, thresholds = [], []
    for own, present in zip(scores.T, targets.T.numpy(), strict=True):
        curve = LogisticRegression().fit(own[:, None], present)
        (slope,), (intercept,) = curve.coef_[0], curve.intercept_
        slopes.append(slope)
        # a score that says nothing of the label has no slope, and no threshold to be read off it
        thresholds.append(-intercept / slope if abs(slope) > 1e-9 else float(np.median(own)))
    return ThresholdHead(verbalizer, torch.tensor(slopes).float(), torch.tensor(thresholds).float())
