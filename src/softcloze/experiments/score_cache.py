"""What the model says of the held-out texts, read once for all calibrations of a wording."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from softcloze.classifiers import PromptClassifier, ready_prompts
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.prompt import PromptSet


class _Reading(NamedTuple):
    scores: np.ndarray  # nats, shape (texts, labels)
    seconds: float


class ScoreCache:
    """Probabilities of the same texts by prompts that share the words, and differ in their calibration alone.

    Each draw of training rows makes a calibration of its own, which takes no time beside reading the texts.
    """

    def __init__(self, texts: Sequence[str]):
        """Nothing is read yet of `texts`."""
        self.texts = list(texts)
        self._known: dict[Hashable, _Reading] = {}

    def predict_proba(self, classifier: BaseEstimator) -> tuple[np.ndarray, float] | None:
        """Probabilities as the classifier gives them by itself, shape (texts, labels), and the seconds that takes.

        None for what is no prompt, or has learnt more than a calibration: it has to read by itself.
        """
        if not isinstance(classifier, PromptClassifier):
            return None
        try:
            (prompt,), backbone = ready_prompts([classifier])
        except NotFittedError:
            return None
        if prompt.training or prompt.head != "words" or prompt.demonstrations is not None:
            return None
        words = (prompt.template, prompt.verbalizer, prompt.max_length, id(backbone))
        if words not in self._known:
            started = time.perf_counter()
            (scores,) = PromptSet([replace(prompt, calibration=None)], backbone).label_scores(self.texts)
            self._known[words] = _Reading(scores, time.perf_counter() - started)
        reading, started = self._known[words], time.perf_counter()
        found: np.ndarray = softmax(prompt.calibrated(reading.scores), axis=1)
        return found, reading.seconds + time.perf_counter() - started


def shared_reading(classifier: BaseEstimator) -> Hashable | None:
    """What is the same for all methods that share one reading; None for a method that reads by itself.

    >>> words = {"good": "good", "bad": "bad"}
    >>> hard = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words)
    >>> corrected = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words, calibration="batch")
    >>> shared_reading(hard) == shared_reading(corrected)
    True
    """
    if not isinstance(classifier, PromptClassifier) or classifier.head != "words":
        return None
    template = resolve_template(classifier.template)
    if template.blocks or template.demos is not None:
        return None
    return str(template), repr(resolve_verbalizer(classifier.verbalizer)), classifier.max_length, repr(classifier.model)
