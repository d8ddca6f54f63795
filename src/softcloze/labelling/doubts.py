"""Labels that a classifier doubts which did not learn from them (confident learning)."""

from dataclasses import dataclass

import numpy as np

from softcloze.heads.logistic import Array
from softcloze.labelling.head import Indices
from softcloze.labelling.selection import cosines_of
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
        Indices from the most doubtful text on, and the margin of each text: the log-probability of its label less that
        of the likeliest other label, in nats. It is negative where the classifier would give another label.

    Source:
        Confident learning: Northcutt, Jiang and Chuang, JAIR 2021, arXiv:1911.00068. The margin is taken of
        log-probabilities, and without thresholds of the labels, since it finds more wrong labels so with few texts:
        docs/measurements/labelling.md.

    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.15, 0.85]])
    >>> order, margins = rank_doubts(np.log(probabilities), np.array([0, 0, 1, 0]))
    >>> order.tolist(), margins.round(1).tolist()
    ([3, 1, 0, 2], [2.2, 1.4, 2.2, -1.7])
    """
    others = log_probabilities.copy()
    rows = np.arange(len(targets))
    others[rows, targets] = -np.inf
    margins: Array = log_probabilities[rows, targets] - others.max(1)
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
    cosines = cosines_of(vectors[among], vectors[[index]])[:, 0]
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(among[i]), float(cosines[i])) for i in order]
