"""Movement of soft vectors during training."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from softcloze.analysis.evaluation import FittedClassifier, soft_prompt_of
from softcloze.analysis.nearest_words import typical_length
from softcloze.data import Example
from softcloze.display import Block, Column, Displayable, Table, fixed
from softcloze.errors import ParameterError
from softcloze.files import expand_user
from softcloze.parameters import PATH, instance_of, validate_parameters
from softcloze.prompt.arithmetic import starting_vectors
from softcloze.training import Checkpoint, Record


class VectorLog:
    """A log of the vectors after each epoch: the `on_epoch` of a classifier that has a `checkpoint`.

    The log reads the vectors from the checkpoint, so both need the same folder. After an interrupted fit is resumed,
    the log has the epochs from there on. `clone`, and so a grid search, gives each classifier its own log.

    Attributes:
        records: record of each epoch, as in `history_`.
        vectors: vectors after each epoch, shape (soft, width).

    Example:
        >>> from softcloze import PromptClassifier
        >>> from softcloze.training import TrainingSettings
        >>> folder = getfixture("tmp_path")
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny", "<soft*2> It was <mask>. <text>", {"bad": "bad", "good": "good"},
        ...     training=TrainingSettings(checkpoint=folder, on_epoch=VectorLog(folder), target_loss=0.0),
        ...     random_state=0, model_options={"dtype": "float32", "device": "cpu"},
        ... )  # fmt: skip
        >>> texts, labels = ["A delight.", "Dull.", "I loved it.", "Awful."], ["good", "bad"] * 2
        >>> moves = trajectory(clf.fit(texts, labels), clf.training.on_epoch)
        >>> [epoch.number for epoch in moves.epochs]
        [1, 2, 3]
    """

    def __init__(self, folder: str | Path):
        """Look for checkpoints in `folder`.

        Raises:
            ParameterError: `folder` is not a path.
        """
        validate_parameters({"folder": folder}, {"folder": PATH})
        self.folder = folder
        self.records: list[Record] = []
        self.vectors: list[Tensor] = []

    def __call__(self, record: Record) -> None:
        """Store the vectors of the last epoch; the first epoch of a fit starts a new log.

        Raises:
            ParameterError: the folder has no checkpoint of this fit, or the fit trains no soft vectors.
            CheckpointError: a checkpoint there is damaged.
        """
        vectors = self._read(record)
        if record["epoch"] == 1:
            self.records, self.vectors = [], []
        self.records.append(record)
        self.vectors.append(vectors)

    def _read(self, record: Record) -> Tensor:
        """Read the vectors from the checkpoint that ends with this record; other fits may share the folder."""
        for path in sorted(expand_user(self.folder).glob("fit-*.safetensors")):
            progress = Checkpoint(self.folder, path.stem.removeprefix("fit-")).load()
            if progress is not None and progress.history[-1:] == [record]:
                if "soft/weight" not in progress.tensors:
                    raise ParameterError("this fit trains no input embeddings of soft slots")
                if any(name.startswith("via/") for name in progress.tensors):
                    raise ParameterError("the vectors of slots with via= are those of a network until the end of a fit")
                return progress.tensors["soft/weight"]
        raise ParameterError(
            f"{self.folder} has no checkpoint of this fit; give the classifier checkpoint={str(self.folder)!r} as well"
        )


@dataclass(frozen=True, slots=True)
class Epoch:
    """Movement of the vectors in one epoch.

    Attributes:
        number: of the epoch, from 1.
        loss: mean training loss during the epoch, in nats.
        accuracy: training accuracy during the epoch.
        step: distance of each vector from its state an epoch before, in lengths of a typical word; None if unknown.
        moved: distance of each vector from its start, in the same unit; None if unknown.
    """

    number: int
    loss: float
    accuracy: float
    step: tuple[float, ...] | None
    moved: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Trajectory(Displayable):
    """Movement of soft vectors over the epochs; `print`, `rich.print` and notebooks show it as a table.

    `dataclasses.asdict` gives plain data for JSON.

    Attributes:
        epochs: the epochs, in order. The fitted vectors are not those of the last epoch but the mean of several, or
            with early stopping perhaps those of an earlier one.
    """

    epochs: tuple[Epoch, ...]

    def content(self) -> Sequence[Block]:
        """A table of the epochs, with the mean over the vectors, the least and the most."""
        columns = [
            Column("epoch", [f"{epoch.number}" for epoch in self.epochs], is_number=True),
            Column("loss", [f"{epoch.loss:.3f}" for epoch in self.epochs], is_number=True),
            Column("accuracy", [f"{epoch.accuracy:.3f}" for epoch in self.epochs], is_number=True),
            Column("step", [_spread(epoch.step) for epoch in self.epochs], is_number=True),
            Column("moved", [_spread(epoch.moved) for epoch in self.epochs], is_number=True),
        ]
        return [
            "distances in lengths of a typical word: the mean of all vectors (the least to the most)",
            Table(columns),
        ]


def trajectory(clf: FittedClassifier, log: VectorLog, examples: Iterable[Example] | None = None) -> Trajectory:
    """Measure how the vectors of a fitted classifier moved.

    Args:
        clf: the classifier.
        log: its `on_epoch` during the fit.
        examples: the training examples; only `soft_init="vocabulary"` needs them, as for `inspect_soft`.

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: its template has no soft slots, or the log is of another fit.
        ArtifactError: its prompt belongs to another model.
    """
    validate_parameters({"log": log}, {"log": instance_of("a VectorLog", VectorLog)})
    bound, _ = soft_prompt_of(clf)
    history = bound.prompt.training["history"]
    if not log.records or log.records != history[-len(log.records) :]:
        raise ParameterError(
            "the log is not of this fit; give VectorLog(folder) to the classifier as on_epoch, with checkpoint=folder, "
            "and the classifier's own on_epoch to trajectory: clone copies it"
        )
    unit = typical_length(bound.backbone)
    start = starting_vectors(bound, examples)

    def distances(vectors: Tensor, other: Tensor | None) -> tuple[float, ...] | None:
        return tuple(((vectors - other).norm(dim=-1) / unit).tolist()) if other is not None else None

    before = start if log.records[0]["epoch"] == 1 else None
    epochs = []
    for record, vectors in zip(log.records, log.vectors, strict=True):
        step, moved = distances(vectors, before), distances(vectors, start)
        epochs.append(Epoch(record["epoch"], record["loss"], record["accuracy"], step, moved))
        before = vectors
    return Trajectory(tuple(epochs))


def _spread(values: Sequence[float] | None) -> str:
    if values is None:
        return ""
    return f"{fixed(float(torch.tensor(values).mean()))} ({fixed(min(values))} to {fixed(max(values))})"
