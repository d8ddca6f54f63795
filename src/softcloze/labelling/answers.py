"""Questions, labelled texts, doubts and predictions of a labelling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softcloze.data import Example
from softcloze.labelling.doubts import Neighbour
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class Question:
    """A text to label.

    Attributes:
        index: of the text.
        text: the text.
        how: reason for which it was chosen: "different" (typical, and unlike the others), "uncertain" (the classifier
            is not sure), "sought" (it may have a label that no text has yet), "random", "held out" (drawn at random,
            for the estimate alone), "own" (by the person) or "given" (it had its label before).
    """

    index: int
    text: Example
    how: str


@dataclass(frozen=True, slots=True)
class OtherAnswer:
    """The earlier answer of another person to a text that was shown to both.

    Attributes:
        labels: that it gave.
        name: of that person.
        when: time of the answer, as ISO 8601 in UTC.
    """

    labels: tuple[Label, ...]
    name: str
    when: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """A label that was given another name.

    Attributes:
        old: name before.
        new: name since; the two labels are one, if there was a label of this name already.
    """

    old: Label
    new: Label


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with its answer.

    Attributes:
        index: of the text.
        text: the text.
        labels: its labels; one, if each text has one.
        name: of the person; "" if it was not given.
        when: time of the answer, as ISO 8601 in UTC.
        how: reason for which it was chosen, as in `Question`.
        note: a note on the text; "" without one.
        other: the answer of another person that it had before, if the two do not agree and nobody has decided; None
            without one.
    """

    index: int
    text: Example
    labels: tuple[Label, ...]
    name: str
    when: str
    how: str
    note: str
    other: OtherAnswer | None = None

    @property
    def label(self) -> Label:
        """The only label.

        Raises:
            ValueError: the text has several labels, or none.
        """
        (label,) = self.labels
        return label


@dataclass(frozen=True, slots=True)
class Doubt:
    """A labelled text whose label a classifier doubts that did not learn from it, or two people do not agree on.

    Attributes:
        index: of the text.
        label: the label that it has.
        suggested: the label that the classifier would give it.
        margin: log-probability of the label less that of the likeliest other one, in nats; negative where the
            classifier would give the other one.
        probabilities: of all labels.
        neighbours: the labelled texts that are most similar, the most similar first.
        other: as in `LabelledText`.
    """

    index: int
    label: Label
    suggested: Label
    margin: float
    probabilities: Mapping[Label, float]
    neighbours: Sequence[Neighbour]
    other: OtherAnswer | None = None

    @property
    def is_doubtful(self) -> bool:
        """True if the classifier would give another label, or two people gave different ones."""
        return self.margin < 0 or self.other is not None


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Labels of the texts that have none.

    Attributes:
        indices: of the texts, shape (texts,).
        labels: the predicted label of each; of several labels a tuple.
        classes: the labels that are predicted.
        probabilities: of the labels in the order of `classes`, shape (texts, labels).
    """

    indices: NDArray[np.int_]
    labels: list[Label] | list[tuple[Label, ...]]
    classes: tuple[Label, ...]
    probabilities: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.indices)
