"""How the answers of several classifiers become one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from softcloze.errors import ArtifactError
from softcloze.files import replacing_folder
from softcloze.prompt import CARD as PROMPT_CARD
from softcloze.prompt import Prompt
from softcloze.prompt.card import read_card, write_card

Average: TypeAlias = Literal["probabilities", "log_probabilities"]
Weights: TypeAlias = Literal["equal", "development", "stacked"]


@dataclass(frozen=True)
class WeightedMean:
    """The mean over members, some of which count for more.

    Attributes:
        weights: of each member; they sum to 1.
        average: what it is the mean of: "probabilities", or "log_probabilities", where one member that finds a label
            impossible decides against it (PET).

    Example:
        >>> answers = np.log([[[0.9, 0.1]], [[0.3, 0.7]]])  # of two members for one example
        >>> np.exp(WeightedMean((0.75, 0.25), "probabilities").log_probabilities(answers)).round(2)
        array([[0.75, 0.25]])
    """

    weights: tuple[float, ...]
    average: Average

    def log_probabilities(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of log-probabilities in nats by each member, shape (members, batch, labels), one answer (batch, labels)."""
        weights = np.asarray(self.weights)[:, None, None]
        if self.average == "log_probabilities":
            mean: NDArray[np.float64] = log_softmax((weights * members).sum(0), axis=1)
        else:
            mean = logsumexp(members, axis=0, b=weights)
        return mean

    def to_dict(self) -> dict[str, Any]:
        """All that `load_combination` needs, as something that JSON takes."""
        return {"weights": list(self.weights), "average": self.average}


@dataclass(frozen=True)
class Stacked:
    """Logistic regression on the log-probabilities of all members.

    Attributes:
        coefficients: shape (labels, members x labels), a member's labels side by side.
        intercepts: of each label.

    Source:
        Wolpert 1992, "Stacked generalization", with the answers to held-out examples as the features.
    """

    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]

    @classmethod
    def learn(cls, members: NDArray[np.float64], targets: Sequence[int]) -> Self:
        """Fit it to answers to examples that no member was trained on, shape (members, examples, labels).

        Args:
            members: log-probabilities in nats.
            targets: the number of each example's label; every label has to be among them.
        """
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression(max_iter=1000).fit(_side_by_side(members), targets)
        coefficients, intercepts = regression.coef_, regression.intercept_
        if len(coefficients) == 1:  # of two labels scikit-learn has the second against the first
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append([0.0], intercepts)
        return cls(tuple(map(tuple, coefficients.tolist())), tuple(intercepts.tolist()))

    def log_probabilities(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `WeightedMean.log_probabilities`."""
        scores = _side_by_side(members) @ np.asarray(self.coefficients).T + np.asarray(self.intercepts)
        found: NDArray[np.float64] = log_softmax(scores, axis=1)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All that `load_combination` needs, as something that JSON takes."""
        return {"coefficients": [list(row) for row in self.coefficients], "intercepts": list(self.intercepts)}


Combination: TypeAlias = WeightedMean | Stacked


def load_combination(card: Mapping[str, Any]) -> Combination:
    """The combination that `to_dict` was taken of.

    >>> load_combination({"weights": [0.5, 0.5], "average": "probabilities"})
    WeightedMean(weights=(0.5, 0.5), average='probabilities')
    """
    if "weights" in card:
        return WeightedMean(tuple(card["weights"]), card["average"])
    return Stacked(tuple(map(tuple, card["coefficients"])), tuple(card["intercepts"]))


def by_accuracy(members: NDArray[np.float64], targets: Sequence[int]) -> tuple[float, ...]:
    """Weights in proportion to how often each member is right; equal ones where none ever is.

    >>> by_accuracy(np.log([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.6, 0.4]]]), [0, 1])
    (0.6666666666666666, 0.3333333333333333)
    """
    right = (members.argmax(-1) == np.asarray(targets)).mean(1)
    return tuple((right / right.sum()).tolist()) if right.any() else equal(len(members))


def equal(members: int) -> tuple[float, ...]:
    """The same weight for each."""
    return (1 / members,) * members


def _side_by_side(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features of each example, shape (batch, members x labels)."""
    return members.transpose(1, 0, 2).reshape(members.shape[1], -1)


CARD = "ensemble.json"


def write_ensemble(folder: Path, prompts: Sequence[Prompt], combination: Combination, weights: Weights) -> None:
    """Write `ensemble.json` and the prompts, all at once; an ensemble that is there already is replaced.

    Raises:
        ArtifactError: something else is at `folder`.
    """
    if folder.exists() and not (folder / CARD).is_file():
        raise ArtifactError(f"{folder} is there already and holds no ensemble; choose another place")
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
    """The members' folders, how they are combined, and the parameter that said so.

    Raises:
        ArtifactError: a file is missing or altered, or was written by a later version; names it.
    """
    card = read_card(folder / CARD, "ensemble")
    for name, stated in card["members"].items():
        try:
            found = _digest_of_file(folder / name / PROMPT_CARD)
        except OSError as error:
            raise ArtifactError(f"{folder} lacks a member: cannot read {error.filename}") from error
        if found != stated:
            raise ArtifactError(f"{folder / name} is not the prompt that was saved with this ensemble")
    return [folder / name for name in card["members"]], load_combination(card["combination"]), card["weights"]


def _digest_of_file(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
