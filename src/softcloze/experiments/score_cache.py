"""Cache of what a frozen model computes of the held-out texts, shared by all runs that need the same."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from softcloze.classifiers import PromptClassifier, bound_prompts
from softcloze.experiments.sentence_baselines import SentenceEmbeddingClassifier
from softcloze.library import resolve_mask_template, resolve_verbalizer

# parts of a prompt that do not change the features of a text, or that it does not have here
LEARNT = ("fingerprint", "vectors", "head_tensors", "demonstrations", "calibration", "training", "metrics")


class _CachedFeatures(NamedTuple):
    features: Any  # shape (texts, features): scores of words as a tensor, or embeddings as an array
    seconds: float


class ScoreCache:
    """Probabilities of the same texts under classifiers that share forward passes.

    Each draw of training examples gives a prompt another calibration or head, and sentence embeddings another logistic
    regression, which costs little beside the forward passes.
    """

    def __init__(self, texts: Sequence[str]):
        """Start with an empty cache for `texts`."""
        self.texts = list(texts)
        self._cached: dict[Hashable, _CachedFeatures] = {}

    def predict_proba(self, classifier: BaseEstimator) -> tuple[np.ndarray, float] | None:
        """The probabilities that the classifier itself predicts, shape (texts, labels), and the seconds it takes.

        None for other classifiers, and for a prompt with soft vectors or demonstrations.
        """
        match classifier:
            case SentenceEmbeddingClassifier():
                encoder = classifier.encoder_
                key = tuple(encoder.fingerprint.items())
                return self._finished(key, lambda: encoder.embed(self.texts), classifier.predict_proba_of)
            case PromptClassifier():
                return self._predict_proba_of_prompt(classifier)
        return None

    def _predict_proba_of_prompt(self, classifier: PromptClassifier) -> tuple[np.ndarray, float] | None:
        try:
            (bound,) = bound_prompts([classifier])
        except NotFittedError:
            return None
        prompt = bound.prompt
        if bound.parts.soft is not None or prompt.demonstrations is not None:
            return None
        parts = [getattr(prompt, part.name) for part in fields(prompt) if part.name not in LEARNT]
        key = bound.backbone, *(repr(part) if isinstance(part, Mapping) else part for part in parts)
        return self._finished(
            key,
            lambda: bound.features(bound.encode(self.texts)),
            lambda features: bound.probabilities(bound.label_scores(features)),
        )

    def _finished(
        self, key: Hashable, compute: Callable[[], Any], probabilities_of: Callable[[Any], np.ndarray]
    ) -> tuple[np.ndarray, float]:
        """Probabilities from features that are computed once for each key, and the seconds of both steps."""
        if key not in self._cached:
            started = time.perf_counter()
            features = compute()
            self._cached[key] = _CachedFeatures(features, time.perf_counter() - started)
        cached, started = self._cached[key], time.perf_counter()
        probabilities = probabilities_of(cached.features)
        return probabilities, cached.seconds + time.perf_counter() - started


def shared_scores_key(classifier: BaseEstimator) -> Hashable | None:
    """A key that is equal for all methods that share cached scores; None for a method that shares none.

    >>> words = {"good": "good", "bad": "bad"}
    >>> hard = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words)
    >>> corrected = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words, calibration="batch")
    >>> shared_scores_key(hard) == shared_scores_key(corrected)
    True
    """
    if isinstance(classifier, SentenceEmbeddingClassifier):
        return "embeddings", repr(classifier.encoder), classifier.max_length
    if not isinstance(classifier, PromptClassifier):
        return None
    template = resolve_mask_template(classifier.template)
    if template.blocks or template.demos is not None:
        return None
    options = (classifier.head, classifier.features, classifier.max_length, repr(classifier.chat_options))
    return str(template), repr(resolve_verbalizer(classifier.verbalizer)), *options, repr(classifier.model)
