"""Predict with several classifiers on the same texts."""

from collections.abc import Callable, Sequence

import numpy as np

from softcloze.estimator import PromptClassifier

CHUNK = 100  # rows between two calls of `on_rows`


def score_seeds(
    classifiers: Sequence[PromptClassifier],
    texts: Sequence[str],
    *,
    on_rows: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """The labels that classifiers with one template but different soft vectors give to the same texts.

    Args:
        classifiers: fitted ones, or one with a hard prompt.
        texts: what to classify.
        on_rows: called with the number of predictions made since the last call.

    Returns:
        For each classifier its labels, shape (texts,).
    """
    labels = []
    for classifier in classifiers:
        parts = []
        for start in range(0, len(texts), CHUNK):
            parts.append(classifier.predict(texts[start : start + CHUNK]))
            if on_rows is not None:
                on_rows(len(parts[-1]))
        labels.append(np.concatenate(parts))
    return labels
