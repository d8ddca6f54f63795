"""Multinomial logistic regression in float64 on standardised states, with the scores of label words as an offset."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# a component whose spread is below this share of its largest value is constant: the rest is rounding of the model
CONSTANT = 1e-5
# penalty of half the squared distance of the words' scale from 1, in units of the variance of their label scores:
# without it the scale grows without end where words alone tell all training examples apart
SCALE_PENALTY = 0.01
# gradient and relative change of the loss at which the minimum counts as reached
PRECISION = 1e-10


class Solution(NamedTuple):
    """A minimum on rotated states.

    Attributes:
        weight: shape (labels, rank).
        bias: shape (labels,), with mean 0.
        scale: factor of the words' label scores; not negative.
    """

    weight: Array
    bias: Array
    scale: float


class Problem:
    """The loss of some training examples as a function of weights, bias and the scale of the words.

    It is the weighted sum of the log losses plus `strength` times half the squared weights. States are standardised by
    a weighted mean and spread, and then rotated into the span of the examples, on which alone the optimal weights
    depend: with fewer examples than components the problem shrinks, and the L2 norm stays the same. Bias and scale are
    not penalised, except that the scale stays near 1 as long as the examples say little about it.

    L-BFGS minimises the loss. Its variables are scaled by an estimate of the curvature, so that it takes few steps.
    """

    def __init__(
        self,
        states: Array,
        goals: Array,
        weights: Array,
        words: Array | None,
        standard: Array | None = None,
        precision: float = PRECISION,
    ):
        """Standardise and rotate.

        Args:
            states: shape (examples, state).
            goals: probabilities of the labels, shape (examples, labels); 1.0 for the right one if it is known.
            weights: weight of each example, above 0, shape (examples,).
            words: label scores by the label words, shape (examples, labels); None if the states alone decide.
            standard: weight of each example in the mean and the spread, at least 0, shape (examples,); None for
                `weights`.
            precision: gradient and relative change of the loss at which the minimum counts as reached.
        """
        self._goals, self._weights, self._precision = goals, weights, precision
        self._words = centred(words) if words is not None else None
        standard = weights if standard is None else standard
        standard = standard / standard.sum()
        self.mean: Array = standard @ states
        spread = np.sqrt(standard @ (states - self.mean) ** 2)
        self.spread: Array = np.where(spread > CONSTANT * np.abs(states).max(0), spread, np.inf)
        roots = np.sqrt(weights)[:, None]
        self.rotation, self._moments = _span(roots * self.standardised(states))
        self.states = self.rotated(states)
        labels = goals.shape[1]
        self._curvature = (labels - 1) / labels**2
        self._words_spread = 0.0
        if self._words is not None:
            shares = weights / weights.sum()
            self._words_spread = float((shares @ (self._words - shares @ self._words) ** 2).sum())

    def standardised(self, states: Array) -> Array:
        """States with mean 0 and spread 1 on the training examples; 0 for a component that is constant there."""
        return (states - self.mean) / self.spread

    def rotated(self, states: Array) -> Array:
        """Coordinates of states in the span of the training examples, shape (examples, rank)."""
        return self.standardised(states) @ self.rotation

    def solve(self, strength: float, start: Solution | None = None) -> Solution:
        """Minimise the loss.

        Args:
            strength: factor of half the squared weights.
            start: where to begin, such as the minimum for a similar strength.
        """
        solution = self._minimum(strength, start, self._words)
        if solution.scale < 0:  # of a convex loss the minimum without negative scales is then at 0
            solution = self._minimum(strength, solution, None)
        return solution

    def _minimum(self, strength: float, start: Solution | None, words: Array | None) -> Solution:
        """The minimum with any scale of `words`; the scale is 0 without words."""
        from scipy.optimize import minimize  # slow to import, and only `fit` needs it

        labels, rank = self._goals.shape[1], self.states.shape[1]
        total = float(self._weights.sum())
        words_spread = self._words_spread * total
        units = np.concatenate(
            [
                [((self._curvature + SCALE_PENALTY) * words_spread) ** -0.5 if words_spread > 0 else 0.0],
                np.full(labels, (self._curvature * total) ** -0.5),
                np.tile((self._curvature * self._moments + strength) ** -0.5, labels),
            ]
        )
        if start is None:
            start = Solution(np.zeros((labels, rank)), np.zeros(labels), 1.0)
        first = np.concatenate([[start.scale if words is not None else 0.0], start.bias, start.weight.ravel()])
        each = self._weights[:, None]
        goals = each * self._goals

        def unpacked(steps: Array) -> Solution:
            values = first + units * steps
            return Solution(values[1 + labels :].reshape(labels, rank), values[1 : 1 + labels], float(values[0]))

        def loss(steps: Array) -> tuple[float, Array]:
            weight, bias, scale = unpacked(steps)
            logs = _log_softmax(_scores(self.states, words, weight, bias, scale))
            errors = np.exp(logs) * each - goals
            value = strength / 2 * float(np.vdot(weight, weight)) - float(np.vdot(goals, logs))
            of_scale = 0.0
            if words is not None:
                value += SCALE_PENALTY * words_spread / 2 * (scale - 1) ** 2
                of_scale = float(np.vdot(errors, words)) + SCALE_PENALTY * words_spread * (scale - 1)
            of_weight = errors.T @ self.states + strength * weight
            return value, np.concatenate([[of_scale], errors.sum(0), of_weight.ravel()]) * units

        options = {"maxiter": 1000, "ftol": self._precision, "gtol": self._precision}
        result = minimize(loss, np.zeros(len(units)), jac=True, method="L-BFGS-B", options=options)
        weight, bias, scale = unpacked(result.x)
        return Solution(weight, bias - bias.mean(), scale)

    def log_probabilities(self, solution: Solution, states: Array, words: Array | None) -> Array:
        """Log-probabilities of the labels of other examples, shape (examples, labels); arguments as of `Problem`."""
        return _log_softmax(_scores(self.rotated(states), centred(words) if words is not None else None, *solution))

    def unrotated(self, solution: Solution) -> tuple[Array, Array]:
        """Weights and bias for states as they are, neither rotated nor standardised."""
        weight = solution.weight @ self.rotation.T / self.spread
        return weight, solution.bias - weight @ self.mean


def _scores(states: Array, words: Array | None, weight: Array, bias: Array, scale: float) -> Array:
    """Label scores, shape (examples, labels)."""
    scores = states @ weight.T + bias
    return scores if words is None else scores + scale * words


def _log_softmax(scores: Array) -> Array:
    """Log-probabilities; scipy's function takes longer than all the rest of a step for a few examples."""
    below = scores - scores.max(1, keepdims=True)
    result: Array = below - np.log(np.exp(below).sum(1, keepdims=True))
    return result


def centred(scores: Array) -> Array:
    """Label scores less their mean over the labels of each example."""
    result: Array = scores - scores.mean(1, keepdims=True)
    return result


def _span(matrix: Array) -> tuple[Array, Array]:
    """Orthonormal basis of the rows of a matrix, shape (columns, rank), and the squared singular values."""
    if len(matrix) <= matrix.shape[1]:
        _, values, basis = np.linalg.svd(matrix, full_matrices=False)
        squares, basis = values**2, basis.T
    else:
        squares, basis = np.linalg.eigh(matrix.T @ matrix)
    kept = squares > 1e-14 * max(squares.max(initial=0.0), np.finfo(float).tiny)
    return basis[:, kept], squares[kept]
