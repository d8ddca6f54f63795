"""How well a prompt does on labelled rows, row by row, so that changes of it may be compared on the same ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from softcloze.data import DataError, as_examples, as_labels
from softcloze.encoding import Example
from softcloze.heads import EXCLUSIVE
from softcloze.inspection.errors import InspectionError
from softcloze.prompt import Parts, Prompt
from softcloze.template import did_you_mean
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
        InspectionError: the prompt gives an example several labels.
    """
    if prompt.head not in EXCLUSIVE:
        raise InspectionError("accuracy is for one label an example, and this prompt gives an example several")
    examples = as_examples(X)
    if not examples:
        raise DataError("there are no examples to measure on")
    labels = as_labels(y)
    if len(examples) != len(labels):
        raise DataError(f"X has {len(examples)} examples but y has {len(labels)} labels")
    index = {label: i for i, label in enumerate(prompt.verbalizer.labels)}
    for row, label in enumerate(labels):
        if label not in index:
            raise DataError(
                f"row {row} has label {label!r}, which the prompt does not have; it has {list(index)}"
                f"{did_you_mean(str(label), map(str, index))}"
            )
    return Rows(examples, np.array([index[label] for label in labels]))


def outcome(prompt: Prompt, parts: Parts, features: Tensor, targets: NDArray[np.int64]) -> Outcome:
    """What becomes of rows of these features, by the head and the calibration of a prompt.

    Args:
        prompt: the prompt.
        parts: what it learnt.
        features: what its scorer read, shape (rows, features).
        targets: the number of the right label of each, shape (rows,).
    """
    scores = prompt.calibrated(parts.head.label_scores(features).detach().double().numpy())
    losses = -log_softmax(scores, axis=-1)[np.arange(len(targets)), targets]
    return Outcome(scores.argmax(-1) == targets, losses)
