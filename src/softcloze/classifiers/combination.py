"""Combinations of several classifiers' log-probabilities, and the folder of a saved ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from softcloze.errors import ArtifactError
from softcloze.files import replacing_folder, validate_replaceable
from softcloze.prompt import CARD as PROMPT_CARD
from softcloze.prompt import Prompt
from softcloze.prompt.card import read_card, write_card

Average: TypeAlias = Literal["probabilities", "log_probabilities"]
Weights: TypeAlias = Literal["equal", "development", "stacked"]

CARD = "ensemble.json"


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
    def learn(cls, members: NDArray[np.float64], targets: Sequence[int]) -> Self:
        """Fit the regression to examples on which no member was trained.

        Args:
            members: log-probabilities by each member in nats, shape (members, examples, labels).
            targets: index of each example's label; every label has to occur.
        """
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression(max_iter=1000).fit(_features(members), targets)
        coefficients, intercepts = regression.coef_, regression.intercept_
        if len(coefficients) == 1:  # with two labels scikit-learn keeps only those of the second
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append([0.0], intercepts)
        return cls(tuple(map(tuple, coefficients.tolist())), tuple(intercepts.tolist()))

    def log_probabilities(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Combine log-probabilities, as `WeightedMean.log_probabilities`."""
        scores = _features(members) @ np.asarray(self.coefficients).T + np.asarray(self.intercepts)
        combined: NDArray[np.float64] = log_softmax(scores, axis=1)
        return combined

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


def accuracy_weights(members: NDArray[np.float64], targets: Sequence[int]) -> tuple[float, ...]:
    """Weights in proportion to each member's accuracy; equal ones where all accuracies are 0.

    Args:
        members: log-probabilities by each member in nats, shape (members, examples, labels).
        targets: index of each example's label.

    >>> accuracy_weights(np.log([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.6, 0.4]]]), [0, 1])
    (0.6666666666666666, 0.3333333333333333)
    """
    accuracies = (members.argmax(-1) == np.asarray(targets)).mean(1)
    return tuple((accuracies / accuracies.sum()).tolist()) if accuracies.any() else equal_weights(len(members))


def equal_weights(members: int) -> tuple[float, ...]:
    """Equal weights of this many members."""
    return (1 / members,) * members


def _features(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features of each example for stacking, shape (examples, members x labels)."""
    return members.transpose(1, 0, 2).reshape(members.shape[1], -1)


def write_ensemble(folder: Path, prompts: Sequence[Prompt], combination: Combination, weights: Weights) -> None:
    """Write `ensemble.json` and a folder for each prompt, all at once; a saved ensemble is replaced.

    Raises:
        ArtifactError: `folder` exists and is not a saved ensemble.
    """
    validate_replaceable(folder, CARD, "a saved ensemble")
    with replacing_folder(folder) as draft:
        names = [f"prompt-{number}" for number in range(len(prompts))]
        for name, prompt in zip(names, prompts, strict=True):
            prompt.save(draft / name)
        card = {
            "weights": weights,
            "combination": combination.to_dict(),
            "members": {name: _digest_of_file(draft / name / PROMPT_CARD) for name in names},
        }
        write_card(draft / CARD, card)


def read_ensemble(folder: Path) -> tuple[list[Path], Combination, Weights]:
    """Read the folders of the members, their combination, and the ensemble's parameter `weights`.

    Raises:
        ArtifactError: a file is missing or altered, or was written by a later version; names it.
    """
    card = read_card(folder / CARD, "ensemble")
    for name, expected in card["members"].items():
        try:
            actual = _digest_of_file(folder / name / PROMPT_CARD)
        except OSError as error:
            raise ArtifactError(f"{folder} lacks a member: cannot read {error.filename}") from error
        if actual != expected:
            raise ArtifactError(f"{folder / name} is not the prompt that was saved with this ensemble")
    return [folder / name for name in card["members"]], combination_from_dict(card["combination"]), card["weights"]


def _digest_of_file(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
