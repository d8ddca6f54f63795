"""Cache of the label scores of the held-out texts, shared by all calibrations of one prompt."""

import time
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import Tensor

from softcloze.classifiers import PromptClassifier, bound_prompts
from softcloze.library import resolve_template, resolve_verbalizer


class _CachedFeatures(NamedTuple):
    features: Tensor  # shape (texts, features)
    seconds: float


class ScoreCache:
    """Probabilities of the same texts under prompts that differ only in their calibration.

    Each draw of training examples gives another calibration, which costs little beside the forward passes.
    """

    def __init__(self, texts: Sequence[str]):
        """Start with an empty cache for `texts`."""
        self.texts = list(texts)
        self._cached: dict[Hashable, _CachedFeatures] = {}

    def predict_proba(self, classifier: BaseEstimator) -> tuple[np.ndarray, float] | None:
        """The probabilities that the classifier itself predicts, shape (texts, labels), and the seconds it takes.

        None for a classifier that is not a prompt, or has learnt more than a calibration.
        """
        if not isinstance(classifier, PromptClassifier):
            return None
        try:
            (bound,) = bound_prompts([classifier])
        except NotFittedError:
            return None
        prompt = bound.prompt
        if prompt.training or prompt.head != "words" or prompt.demonstrations is not None:
            return None
        key = (prompt.template, prompt.verbalizer, prompt.max_length, bound.backbone)
        if key not in self._cached:
            started = time.perf_counter()
            features = bound.features(bound.encode(self.texts))
            self._cached[key] = _CachedFeatures(features, time.perf_counter() - started)
        cached, started = self._cached[key], time.perf_counter()
        probabilities = bound.probabilities(bound.label_scores(cached.features))
        return probabilities, cached.seconds + time.perf_counter() - started


def shared_scores_key(classifier: BaseEstimator) -> Hashable | None:
    """A key that is equal for all methods that share cached scores; None for a method that shares none.

    >>> words = {"good": "good", "bad": "bad"}
    >>> hard = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words)
    >>> corrected = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words, calibration="batch")
    >>> shared_scores_key(hard) == shared_scores_key(corrected)
    True
    """
    if not isinstance(classifier, PromptClassifier) or classifier.head != "words":
        return None
    template = resolve_template(classifier.template)
    if template.blocks or template.demos is not None:
        return None
    return str(template), repr(resolve_verbalizer(classifier.verbalizer)), classifier.max_length, repr(classifier.model)
