"""The order of label words for labels whose names do not tell which word is whose: the examples do."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from softcloze.heads import WordHead
from softcloze.verbalizer import Label, Verbalizer


def arrange(
    verbalizer: Verbalizer,
    orders: Sequence[Mapping[Label, Label]],
    features: Tensor,
    label_features: Tensor,
    targets: NDArray[np.int_],
) -> tuple[Verbalizer, Tensor, Tensor]:
    """Give the words to the labels whose examples they fit best.

    Args:
        verbalizer: words for the labels.
        orders: ways to give them to other labels: to the label on the right the words of the one on the left.
        features: of the examples with this verbalizer: scores of its words, then states, shape (examples, features).
        label_features: the same of a text for each label, or of none.
        targets: index of the label of each example, shape (examples,).

    Returns:
        The verbalizer whose label scores are highest in the mean over the labels, each in the mean over its examples;
        features and label features as of this one. A score that is high in all examples favours no order.
    """
    scores = WordHead(verbalizer).label_scores(features.double()).numpy()
    labels = verbalizer.labels
    means = np.stack([scores[targets == label].mean(0) for label in range(len(labels))])

    def fit_of(order: Mapping[Label, Label]) -> float:
        return float(sum(means[labels.index(new), labels.index(old)] for old, new in order.items()))

    order = max(orders, key=fit_of)
    arranged = verbalizer.relabelled(order)
    columns = [verbalizer.all_words.index(word) for word in arranged.all_words]
    columns += range(len(columns), features.shape[1])
    origin = {new: old for old, new in order.items()}
    rows = [labels.index(origin[label]) for label in labels] if len(label_features) else []
    return arranged, features[:, columns], label_features[:, columns][rows]
