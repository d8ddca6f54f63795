"""Labels that a classifier doubts which did not learn from them (confident learning)."""

from dataclasses import dataclass

import numpy as np

from softcloze.heads.logistic import Array
from softcloze.labelling.head import Indices
from softcloze.verbalizer import Label

NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled text near another one.

    Attributes:
        index: of the text.
        label: its label.
        similarity: cosine of the texts' standardised states.
    """

    index: int
    label: Label
    similarity: float


def rank_doubts(log_probabilities: Array, targets: Indices) -> tuple[Indices, Array]:
    """Order labelled texts by how much their label is doubted.

    Args:
        log_probabilities: of the labels of each text by a classifier that did not learn from it, in nats, shape
            (examples, labels).
        targets: index of the label of each, shape (examples,).

    Returns:
        Indices from the most doubtful text on, and the margin of each text: the probability of its label less that of
        the likeliest other label, both less the label's threshold, from -2 to 2. The threshold of a label is its mean
        probability among the texts that have it.

    Source:
        Confident learning: Northcutt, Jiang and Chuang, JAIR 2021, arXiv:1911.00068; the normalised margin with
        adjusted probabilities is that of Kuan and Mueller 2022 (cleanlab). A label that no text has takes no part.

    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.15, 0.85]])
    >>> order, margins = rank_doubts(np.log(probabilities), np.array([0, 0, 1, 0]))
    >>> order.tolist()
    [3, 2, 1, 0]
    """
    probabilities = np.exp(log_probabilities)
    labels = probabilities.shape[1]
    thresholds = np.array(
        [probabilities[targets == label, label].mean() if (targets == label).any() else 1.0 for label in range(labels)]
    )
    adjusted = probabilities - thresholds
    rows = np.arange(len(targets))
    own = adjusted[rows, targets]
    adjusted[rows, targets] = -np.inf
    margins: Array = own - adjusted.max(1)
    return np.argsort(margins, kind="stable"), margins


def nearest(vectors: Array, index: int, among: Indices, count: int = NEIGHBOURS) -> list[tuple[int, float]]:
    """The texts most similar to one of them, and their cosines, the most similar first.

    Args:
        vectors: of all texts, of length 1, shape (texts, components).
        index: of the text.
        among: indices of the texts to compare.
        count: number of texts, at most.
    """
    among = among[among != index]
    cosines = vectors[among] @ vectors[index]
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(among[i]), float(cosines[i])) for i in order]
