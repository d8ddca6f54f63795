"""The mistakes that a method is surest of, and what its model would rather have written there."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.base import BaseEstimator, clone

from softcloze.analysis import TopWord, likeliest_words
from softcloze.classifiers import PromptClassifier, ready_prompts
from softcloze.verbalizer import RuleVerbalizer

EXPLAINED = 10  # mistakes of each run: those of the means over several runs are nearly all among them
WORDS = 8  # likeliest ones at the mask


def most_confident_errors(probabilities: np.ndarray, truth: np.ndarray, count: int) -> list[int]:
    """The rows that are given a wrong label with the highest probability, the surest first.

    Args:
        probabilities: shape (rows, classes).
        truth: column of the right class of each row, shape (rows,).
        count: rows at most.

    >>> most_confident_errors(np.array([[0.4, 0.6], [0.9, 0.1], [0.2, 0.8]]), np.array([0, 0, 0]), 5)
    [2, 0]
    """
    sure = np.where(probabilities.argmax(1) == truth, -1.0, probabilities.max(1))
    return [int(row) for row in np.argsort(-sure, kind="stable")[:count] if sure[row] >= 0]


def top_words(classifier: BaseEstimator, texts: Sequence[str], rows: Sequence[int]) -> dict[int, tuple[TopWord, ...]]:
    """The likeliest words at the mask, by row; none for what is no prompt, or decides by a head or by rules.

    Args:
        classifier: one that has predicted, or a search that has found one.
        texts: all of them.
        rows: those that are asked for.
    """
    fitted = getattr(classifier, "best_estimator_", classifier)
    if not rows or not isinstance(fitted, PromptClassifier):
        return {}
    if not hasattr(fitted, "prompt_"):  # the words alone; a calibration that is not learnt yet does not change them
        fitted = clone(fitted).set_params(calibration=None)
    (prompt,), backbone = ready_prompts([fitted])
    if prompt.head != "words" or isinstance(prompt.verbalizer, RuleVerbalizer):
        return {}
    bound, asked = prompt.bind(backbone), [texts[row] for row in rows]
    prompts = bound.encode(asked, prompt.demonstrations_for(asked, backbone))
    return dict(zip(rows, likeliest_words(bound, prompts, prompt.parts(bound).soft, WORDS), strict=True))


def as_json(words: Mapping[int, Sequence[TopWord]]) -> dict[str, list[list[object]]]:
    """Top words as JSON can hold them.

    >>> words = {3: (TopWord("good", 0.5, "positive"), TopWord("很", 0.25))}
    >>> from_json(as_json(words)) == words
    True
    """
    return {str(row): [[word.token, word.probability, word.label] for word in own] for row, own in words.items()}


def from_json(found: Mapping[str, Sequence[Sequence[object]]]) -> dict[int, tuple[TopWord, ...]]:
    """The other way round."""
    return {int(row): tuple(TopWord(*word) for word in own) for row, own in found.items()}  # type: ignore[arg-type]
