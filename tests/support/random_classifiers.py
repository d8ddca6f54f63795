"""Random examples, and classifiers that take no time, in a module that other processes can import."""

import os
import random
import signal
import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from softcloze.data import split_rows
from softcloze.experiments import Protocol, tfidf

WORDS = ["好", "差", "film", "book", "very", "not", "the", "really"]


def rows(count, seed=0):
    generator = random.Random(seed)
    for number in range(count):
        label = "good" if number % 2 else "bad"
        yield f"{number} {' '.join(generator.choices(WORDS, k=6))} {'好' if label == 'good' else '差'}", label


SPLIT = split_rows(rows(120))
PROTOCOL = Protocol(shots=(2, 0.5), seeds=2, test_rows=20)


class Noisy(ClassifierMixin, BaseEstimator):
    """Predicts random probabilities, seeded by `random_state` and the training texts; counts its fits."""

    fits = 0

    def __init__(self, strength=1.0, random_state=None):
        self.strength = strength
        self.random_state = random_state

    def fit(self, X, y):
        Noisy.fits += 1
        self.classes_ = np.unique(y)
        self.seed_ = [self.random_state, len("".join(X))]
        return self

    def predict_proba(self, X):
        return np.random.default_rng(self.seed_).dirichlet([self.strength] * len(self.classes_), len(X))


class Broken(Noisy):
    """Raises on more than four training texts."""

    def fit(self, X, y):
        if len(X) > 4:
            raise MemoryError("too many rows")
        return super().fit(X, y)


class Deadly(Noisy):
    """Kills its process in a fit with seed 1, as the system does when memory runs out."""

    def fit(self, X, y):
        if self.random_state == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)


class Endless(Noisy):
    """Never finishes a fit with seed 1, and takes a moment with others."""

    def fit(self, X, y):
        time.sleep(1000 if self.random_state == 1 else 0.05)
        return super().fit(X, y)


class Slow(Noisy):
    """Takes a moment to fit, so that its process can be killed meanwhile."""

    def fit(self, X, y):
        time.sleep(0.01)
        return super().fit(X, y)


SLOW = {"slow": Slow(), "slow, too": Slow(strength=5.0), "words": tfidf("char")}
LONG = Protocol(shots=4, seeds=40, test_rows=20)


def same(one, other):
    """Return whether two comparisons have the same results; time and memory may differ."""
    pairs = list(zip(one.runs, other.runs, strict=True))
    return all(
        (a.method, a.shots, a.seed, a.trainable, a.error) == (b.method, b.shots, b.seed, b.trainable, b.error)
        and np.array_equal(a.probabilities, b.probabilities)
        for a, b in pairs
    ) and [mean.accuracy for mean in one.summary()] == [mean.accuracy for mean in other.summary()]
