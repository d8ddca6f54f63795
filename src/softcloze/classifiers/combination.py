"""Combinations of several classifiers' log-probabilities, and the folder of a saved ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from softcloze.errors import ArtifactError
from softcloze.parameters import number
from softcloze.prompt import Prompt
from softcloze.prompt.card import PROMPT
from softcloze.prompt.folder import Content, SavedFolder, Sealed, folder_of, matching

Average: TypeAlias = Literal["probabilities", "log_probabilities"]
Weights: TypeAlias = Literal["equal", "development", "stacked"]


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


def _features(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features of each example for stacking, shape (examples, members x labels)."""
    return members.transpose(1, 0, 2).reshape(members.shape[1], -1)


CARD = "ensemble.json"


Coefficient = Annotated[float, number("from -1e6 to 1e6", lambda value: abs(value) <= 1e6)]


class _WeightedMeanEntry(TypedDict):
    weights: list[Annotated[float, number("from 0 to 1", lambda value: 0 <= value <= 1)]]
    average: Average


class _StackedEntry(TypedDict):
    coefficients: list[list[Coefficient]]
    intercepts: list[Coefficient]


class Card(Sealed):
    """The entries of the card of an ensemble."""

    weights: Weights
    combination: _WeightedMeanEntry | _StackedEntry
    members: list[Annotated[str, matching("prompt-[0-9a-f-]+", "the name of a member's folder")]]


ENSEMBLE = SavedFolder(CARD, "ensemble", Card)


def write_ensemble(
    path: str | PathLike[str], prompts: Sequence[Prompt], combination: Combination, weights: Weights
) -> None:
    """Write `ensemble.json` and a folder for each prompt; a saved ensemble is replaced, and other files stay.

    Raises:
        ArtifactError: `path` holds other files and no ensemble.
        FileError: it cannot be written.
    """

    def make(suffix: str) -> Content:
        files, members = dict[str, bytes](), [f"prompt-{i}{suffix}" for i in range(len(prompts))]
        for member, prompt in zip(members, prompts, strict=True):
            content = prompt.content()
            of_member = {**content.files, PROMPT.card: PROMPT.seal(*content)}
            files.update({f"{member}/{name}": text for name, text in of_member.items()})
        return Content({"weights": weights, "combination": combination.to_dict(), "members": members}, files)

    ENSEMBLE.write(path, make)


def read_ensemble(path: str | PathLike[str]) -> tuple[list[Path], Combination, Weights]:
    """Read the folders of the members, their combination, and the ensemble's parameter `weights`.

    Raises:
        ArtifactError: `path` is not a saved ensemble, or a file is missing or altered; names it.
    """
    folder = folder_of(path)
    card = ENSEMBLE.read(folder)
    for name in card["files"]:
        ENSEMBLE.read_file(folder, card, name)
    members = card["members"]
    if not members or not {f"{name}/{PROMPT.card}" for name in members} <= card["files"].keys():
        raise ArtifactError(f"{folder / ENSEMBLE.card} is damaged: it names no files of the members {members}")
    return [folder / name for name in members], combination_from_dict(card["combination"]), card["weights"]
