"""Score a fitted prompt on labelled rows, row by row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import NotFittedError
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.data import Example, as_examples, as_labels, validate_lengths
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import did_you_mean
from softcloze.heads import EXCLUSIVE
from softcloze.prompt import BoundPrompt, Prompt
from softcloze.soft import SoftVectors
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class Score:
    """How well a prompt does on labelled rows.

    Attributes:
        accuracy: share of the rows that it labels right.
        log_loss: mean of -log of the right label's probability, in nats.
    """

    accuracy: float
    log_loss: float


class Rows(NamedTuple):
    """Labelled rows.

    Attributes:
        examples: the rows.
        targets: the number of the label of each, shape (rows,).
    """

    examples: list[Example]
    targets: NDArray[np.int64]


class Outcome(NamedTuple):
    """What came of each row.

    Attributes:
        right: whether the label was found, shape (rows,).
        losses: -log of its probability, in nats, likewise.
    """

    right: NDArray[np.bool_]
    losses: NDArray[np.float64]

    @property
    def score(self) -> Score:
        """Over all rows."""
        return Score(float(self.right.mean()), float(self.losses.mean()))


def read_rows(prompt: Prompt, X: Iterable[Example], y: Iterable[Label]) -> Rows:
    """Examples and their labels, as `PromptClassifier.score` takes them.

    Raises:
        DataError: not one label for each example, none at all, or one that the prompt does not have.
        ParameterError: the prompt gives an example several labels.
    """
    if prompt.head not in EXCLUSIVE:
        raise ParameterError("accuracy is for one label an example, and this prompt gives an example several")
    examples = as_examples(X)
    if not examples:
        raise DataError("there are no examples to measure on")
    labels = as_labels(y)
    validate_lengths(examples, labels)
    index = {label: i for i, label in enumerate(prompt.verbalizer.labels)}
    for row, label in enumerate(labels):
        if label not in index:
            raise DataError(
                f"row {row} has label {label!r}, which the prompt does not have; it has {list(index)}"
                f"{did_you_mean(str(label), map(str, index))}"
            )
    return Rows(examples, np.array([index[label] for label in labels]))


def outcome(bound: BoundPrompt, features: Tensor, targets: NDArray[np.int64]) -> Outcome:
    """Evaluate examples, given as features, by the head and the calibration of a prompt.

    Args:
        bound: the prompt.
        features: input of its head, shape (rows, features).
        targets: index of the right label of each, shape (rows,).
    """
    scores = bound.label_scores(features)
    losses = -log_softmax(scores, axis=-1)[np.arange(len(targets)), targets]
    return Outcome(scores.argmax(-1) == targets, losses)


class Fitted(Protocol):
    """A fitted `PromptClassifier`, or whatever else holds a prompt and the backbone that it belongs to."""

    prompt_: Prompt
    backbone_: Backbone


class FittedPrompt(NamedTuple):
    """What there is to look into.

    Attributes:
        bound: the prompt on its backbone.
        soft: its soft vectors, at least one.
    """

    bound: BoundPrompt
    soft: SoftVectors

    @property
    def prompt(self) -> Prompt:
        """The prompt."""
        return self.bound.prompt

    @property
    def backbone(self) -> Backbone:
        """The model."""
        return self.bound.backbone


def opened(clf: Fitted) -> FittedPrompt:
    """The soft prompt of a fitted classifier.

    Raises:
        NotFittedError: it is not fitted.
        ArtifactError: its prompt belongs to another model.
        ParameterError: its template has no soft slots.
    """
    if not hasattr(clf, "prompt_"):
        raise NotFittedError("there are no trained vectors to look into yet; call fit first, or load a saved prompt")
    prompt, backbone = clf.prompt_, clf.backbone_
    prompt.validate_backbone(backbone)
    bound = BoundPrompt(prompt, backbone)
    if bound.parts.soft is None:
        raise ParameterError(
            f"{str(prompt.template)!r} has no soft slots, so there are no vectors to look into; explain tells what "
            "its label words do"
        )
    return FittedPrompt(bound, bound.parts.soft)


def places(soft: SoftVectors) -> list[tuple[str, int]]:
    """The block of each vector and its number in there, from 1."""
    return [(block.key, number) for block in soft.blocks for number in range(1, block.count + 1)]
