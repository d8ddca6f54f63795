"""The most confident errors of a method, and the most probable words at the mask for them."""

from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator, clone

from softcloze.analysis import TopWord, likeliest_words
from softcloze.classifiers import PromptClassifier, bound_prompts
from softcloze.verbalizer import Verbalizer

EXPLAINED = 10  # errors of each run with top words; they contain nearly all worst errors of the mean over runs
WORDS = 8  # top words at the mask


def most_confident_errors(probabilities: np.ndarray, truth: np.ndarray, count: int) -> list[int]:
    """Indices of the examples with the most probable wrong labels, the most confident first.

    Args:
        probabilities: shape (rows, classes).
        truth: class index of each row, shape (rows,).
        count: maximum number of examples.

    >>> most_confident_errors(np.array([[0.4, 0.6], [0.9, 0.1], [0.2, 0.8]]), np.array([0, 0, 0]), 5)
    [2, 0]
    """
    confidence = np.where(probabilities.argmax(1) == truth, -1.0, probabilities.max(1))
    return [int(row) for row in np.argsort(-confidence, kind="stable")[:count] if confidence[row] >= 0]


def top_words(classifier: BaseEstimator, texts: Sequence[str], rows: Sequence[int]) -> dict[int, tuple[TopWord, ...]]:
    """The most probable words at the mask for some `rows` of `texts`; empty unless a prompt with label words is fitted.

    The classifier is ready to predict, or a fitted search.
    """
    fitted = getattr(classifier, "best_estimator_", classifier)
    if not rows or not isinstance(fitted, PromptClassifier):
        return {}
    if not hasattr(fitted, "prompt_"):  # a calibration that is not learnt yet does not change the words
        fitted = clone(fitted).set_params(calibration=None)
    (bound,) = bound_prompts([fitted])
    prompt = bound.prompt
    if prompt.head != "words" or not isinstance(prompt.verbalizer, Verbalizer):
        return {}
    prompts = bound.encode([texts[row] for row in rows])
    return dict(zip(rows, likeliest_words(bound.compiled, prompts, bound.parts.soft, WORDS), strict=True))
