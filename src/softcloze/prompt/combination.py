"""Combinations of the log-probabilities of several prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

Average: TypeAlias = Literal["probabilities", "log_probabilities"]


@dataclass(frozen=True)
class WeightedMean:
    """Weighted mean over the members of an ensemble.

    Attributes:
        weights: weight of each member; they sum to 1.
        average: quantity that is averaged: "probabilities", or "log_probabilities" (PET), where one member that
            considers a label impossible decides against it.

    Example:
        >>> members = np.log([[[0.9, 0.1]], [[0.3, 0.7]]])  # two members, one example, two labels
        >>> np.exp(WeightedMean((0.75, 0.25), "probabilities").log_probabilities(members)).round(2)
        array([[0.75, 0.25]])
    """

    weights: tuple[float, ...]
    average: Average

    def log_probabilities(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Combine log-probabilities.

        Args:
            members: log-probabilities by each member in nats, shape (members, batch, labels).

        Returns:
            Log-probabilities in nats, shape (batch, labels).
        """
        weights = np.asarray(self.weights)[:, None, None]
        if self.average == "log_probabilities":
            mean: NDArray[np.float64] = log_softmax((weights * members).sum(0), axis=1)
        else:
            mean = logsumexp(members, axis=0, b=weights)
        return mean

    def parts(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of each member in the score of each label, less its mean over the labels.

        A score is the weighted mean of log-probabilities in nats, or of probabilities, as `average` says.

        Args:
            members: log-probabilities by each member in nats, shape (members, batch, labels), as is the result.
        """
        averaged = members if self.average == "log_probabilities" else np.exp(members)
        return _centred(np.asarray(self.weights)[:, None, None] * averaged)

    def fits(self, members: int, labels: int) -> bool:
        """Return True if the combination is for this many members and labels."""
        return len(self.weights) == members

    def to_dict(self) -> dict[str, Any]:
        """Data that JSON holds, for `combination_from_dict`."""
        return {"weights": list(self.weights), "average": self.average}


@dataclass(frozen=True)
class Stacked:
    """Logistic regression on the log-probabilities of all members.

    Attributes:
        coefficients: shape (labels, members x labels), those of one member adjacent.
        intercepts: shape (labels,).

    Source:
        Wolpert 1992, "Stacked generalization", with predictions for held-out examples as features.
    """

    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]

    @classmethod
    def learn(
        cls, members: NDArray[np.float64], targets: Sequence[int], weights: NDArray[np.float64] | None = None
    ) -> Self:
        """Fit the regression to examples on which no member was trained.

        Args:
            members: log-probabilities by each member in nats, shape (members, examples, labels).
            targets: index of each example's label; every label has to occur.
            weights: weight of each example, shape (examples,); None for equal ones.
        """
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression(max_iter=1000).fit(_features(members), targets, weights)
        coefficients, intercepts = regression.coef_, regression.intercept_
        if len(coefficients) == 1:  # with two labels scikit-learn keeps only those of the second
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append([0.0], intercepts)
        return cls(tuple(map(tuple, coefficients.tolist())), tuple(intercepts.tolist()))

    def log_probabilities(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Combine log-probabilities, as `WeightedMean.log_probabilities`."""
        scores = _features(members) @ np.asarray(self.coefficients).T + np.asarray(self.intercepts)
        combined: NDArray[np.float64] = log_softmax(scores, axis=1)
        return combined

    def parts(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of each member in the score of each label, in nats, as `WeightedMean.parts`."""
        labels = members.shape[2]
        coefficients = np.asarray(self.coefficients).reshape(labels, len(members), labels)
        return _centred(np.einsum("lmk,mbk->mbl", coefficients, members))

    def fits(self, members: int, labels: int) -> bool:
        """Return True if the combination is for this many members and labels."""
        widths = [len(row) for row in self.coefficients]
        return widths == [members * labels] * labels and len(self.intercepts) == labels

    def to_dict(self) -> dict[str, Any]:
        """Data that JSON holds, for `combination_from_dict`."""
        return {"coefficients": [list(row) for row in self.coefficients], "intercepts": list(self.intercepts)}


Combination: TypeAlias = WeightedMean | Stacked


def combination_from_dict(saved: Mapping[str, Any]) -> Combination:
    """Make a combination from what its `to_dict` returned.

    >>> combination_from_dict({"weights": [0.5, 0.5], "average": "probabilities"})
    WeightedMean(weights=(0.5, 0.5), average='probabilities')
    """
    if "weights" in saved:
        return WeightedMean(tuple(saved["weights"]), saved["average"])
    return Stacked(tuple(map(tuple, saved["coefficients"])), tuple(saved["intercepts"]))


def accuracy_weights(
    members: NDArray[np.float64], targets: Sequence[int], weights: NDArray[np.float64] | None = None
) -> tuple[float, ...]:
    """Weights in proportion to each member's accuracy; equal ones where all accuracies are 0.

    Args:
        members: log-probabilities by each member in nats, shape (members, examples, labels).
        targets: index of each example's label.
        weights: weight of each example, shape (examples,); None for equal ones.

    >>> accuracy_weights(np.log([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.6, 0.4]]]), [0, 1])
    (0.6666666666666666, 0.3333333333333333)
    """
    accuracies = np.average(members.argmax(-1) == np.asarray(targets), axis=1, weights=weights)
    return tuple((accuracies / accuracies.sum()).tolist()) if accuracies.any() else equal_weights(len(members))


def equal_weights(members: int) -> tuple[float, ...]:
    """Equal weights of this many members."""
    return (1 / members,) * members


def _centred(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = parts - parts.mean(2, keepdims=True)
    return centred


def _features(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features of each example for stacking, shape (examples, members x labels)."""
    return members.transpose(1, 0, 2).reshape(members.shape[1], -1)
