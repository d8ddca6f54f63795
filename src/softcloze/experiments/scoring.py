"""Predict with several classifiers on the same texts."""

from collections.abc import Callable, Sequence

import numpy as np

from softcloze.estimator import PromptClassifier, predict_together

CHUNK = 100  # rows between two calls of `on_rows`


def score_seeds(
    classifiers: Sequence[PromptClassifier],
    texts: Sequence[str],
    *,
    on_rows: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """The labels that classifiers with one template but different soft vectors give to the same texts, in one pass.

    Args:
        classifiers: ready to predict; one, or several with the same template.
        texts: what to classify.
        on_rows: called with the number of predictions made since the last call.

    Returns:
        For each classifier its labels, shape (texts,).
    """
    parts = []
    for start in range(0, len(texts), CHUNK):
        parts.append(predict_together(classifiers, texts[start : start + CHUNK]))
        if on_rows is not None:
            on_rows(parts[-1].size)
    return list(np.concatenate(parts, axis=1))
