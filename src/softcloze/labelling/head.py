"""A linear layer on states, beside label words where they have scores, solved in milliseconds while a person labels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softcloze.data.weights import example_weights
from softcloze.heads.exact import LABEL_WEIGHT
from softcloze.heads.logistic import Array, Problem, Solution

Indices = NDArray[np.int_]

# per component of the state, from a strong penalty to a weak one; a coarser grid than that of `fit_exact`
STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
FOLDS = 5
PRECISION = 1e-5  # of solutions that choose and judge; the classifier of the end is solved to full precision


@dataclass(frozen=True, eq=False)
class Features:
    """Features of all texts and of the labels.

    Attributes:
        states: of the texts, shape (texts, width).
        words: scores of the labels by their label words, shape (texts, labels); None without label words.
        label_states: of a text that is the name of each label, shape (labels, width) or (0, width).
        label_words: the same of their scores, shape (labels, labels) or (0, labels); None without label words.
    """

    states: Array
    words: Array | None
    label_states: Array
    label_words: Array | None

    def __len__(self) -> int:
        return len(self.states)


@dataclass(frozen=True, eq=False)
class QuickHead:
    """A solved head.

    Attributes:
        weight: shape (labels, width).
        bias: shape (labels,).
        scale: factor of the label words' scores; 0.0 without them.
    """

    weight: Array
    bias: Array
    scale: float

    def log_probabilities(self, features: Features, rows: Indices | slice = slice(None)) -> Array:
        """Log-probabilities of the labels of some texts, in nats, shape (texts, labels)."""
        scores = features.states[rows] @ self.weight.T + self.bias
        if features.words is not None and self.scale:
            scores = scores + self.scale * features.words[rows]
        below = scores - scores.max(1, keepdims=True)
        result: Array = below - np.log(np.exp(below).sum(1, keepdims=True))
        return result


def fit_quick(
    features: Features, rows: Indices, targets: Indices, labels: int, strength: float, weights: Array | None = None
) -> QuickHead:
    """Solve a head for the labelled texts `rows` at one L2 strength.

    Args:
        features: of all texts.
        rows: indices of labelled texts, shape (examples,).
        targets: index of the label of each, shape (examples,).
        labels: number of labels.
        strength: L2 strength for each component of the state.
        weights: weight of each example, shape (examples,); None for classes of equal weight.
    """
    problem = _problem(features, rows, targets, labels, weights)
    return _head(problem, problem.solve(strength * features.states.shape[1]))


def choose_strength(
    features: Features,
    rows: Indices,
    targets: Indices,
    labels: int,
    seed: int = 0,
) -> tuple[float, Array]:
    """The strength of least cross-validated log loss, and the log-probabilities of the examples at it.

    A label that has no other example in a fold is learnt from its name alone, so that a single one suffices.

    Returns:
        The strength, and log-probabilities by heads that did not learn from the example, shape (examples, labels).
    """
    held_out = np.full((len(STRENGTHS), len(rows), labels), -np.log(labels))
    for train, test in folds_of(targets, seed):
        problem = _problem(features, rows[train], targets[train], labels, None)
        solution = None
        for i, strength in enumerate(STRENGTHS):
            solution = problem.solve(strength * features.states.shape[1], solution)
            held_out[i, test] = _head(problem, solution).log_probabilities(features, rows[test])
    weights = class_weights(targets, labels)
    losses = -held_out[:, np.arange(len(rows)), targets] @ weights
    chosen = int(losses.argmin())
    return STRENGTHS[chosen], held_out[chosen]


def folds_of(targets: Indices, seed: int, folds: int = FOLDS) -> Iterator[tuple[Indices, Indices]]:
    """Stratified folds of any number of examples, also where a label has fewer than there are folds."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(targets))
    order = order[np.argsort(targets[order], kind="stable")]
    fold_of = np.empty(len(targets), dtype=int)
    fold_of[order] = np.arange(len(targets)) % min(folds, len(targets))
    for fold in range(min(folds, len(targets))):
        yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def class_weights(targets: Indices, labels: int) -> Array:
    """Weight of each example that gives all classes the same weight, with mean 1, shape (examples,)."""
    weights = example_weights("balanced", range(labels), np.eye(labels)[targets], np.ones(len(targets)))
    return weights if weights is not None else np.ones(len(targets))


def _problem(features: Features, rows: Indices, targets: Indices, labels: int, weights: Array | None) -> Problem:
    """The loss of examples, and of the names of the labels as examples after them."""
    further = len(features.label_states)
    shares = weights if weights is not None else class_weights(targets, labels)
    shares = shares / shares.sum()
    states = np.concatenate([features.states[rows], features.label_states])
    words = None
    if features.words is not None and features.label_words is not None:
        words = np.concatenate([features.words[rows], features.label_words])
    goals = np.concatenate([np.eye(labels)[targets], np.eye(labels)[:further]])
    all_weights = np.concatenate([shares, np.full(further, LABEL_WEIGHT / len(rows))])
    standard = np.concatenate([shares, np.zeros(further)])
    return Problem(states, goals, all_weights, words, standard, PRECISION)


def _head(problem: Problem, solution: Solution) -> QuickHead:
    weight, bias = problem.unrotated(solution)
    return QuickHead(weight, bias, solution.scale)
