"""Sums over the steps of an epoch, and its record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from softcloze.training.checkpoint import EpochState, Record
from softcloze.training.distributed import Learnt
from softcloze.training.task import TrainingTask


@dataclass(slots=True)
class EpochSums:
    """Sums over the examples of an epoch so far.

    Attributes:
        tasks: what is trained.
        losses: of each task.
        hits: examples whose label is predicted right.
        predicted: the labels that were predicted, those of each task apart.
    """

    tasks: Sequence[TrainingTask]
    losses: list[float]
    hits: int
    predicted: set[int]

    @classmethod
    def of(cls, tasks: Sequence[TrainingTask], state: EpochState) -> Self:
        """The sums of an interrupted epoch, or of one that begins."""
        losses = state["losses"] if len(state["losses"]) == len(tasks) else [0.0] * len(tasks)
        return cls(tasks, losses, state["hits"], {*state["labels"]})

    def add(self, number: int, learnt: Sequence[Learnt]) -> None:
        """Add the parts of a batch of task `number`; its label scores become the last ones of their examples."""
        task = self.tasks[number]
        for rows, loss, scores in learnt:
            self.losses[number] += loss
            self.hits += int(task.head.hits(scores, task.targets[rows]).sum())
            self.predicted |= {label * len(self.tasks) + number for label in task.head.predicted_labels(scores)}
            task.last_scores.update(zip(rows, scores, strict=True))

    def state(self, steps: int, seconds: float) -> EpochState:
        """The epoch for a checkpoint, after some of its steps."""
        return EpochState(
            steps=steps, losses=self.losses, hits=self.hits, labels=sorted(self.predicted), seconds=seconds
        )

    def record(self, batches: Sequence[tuple[int, list[int]]], names: Sequence[str]) -> Record:
        """Loss, accuracy and number of labels of the whole epoch, and the loss of each task with a name."""
        sizes = [sum(task.size(rows) for of, rows in batches if of == i) for i, task in enumerate(self.tasks)]
        record: Record = {"loss": sum(self.losses) / sum(sizes)}
        if all(task.head.predicts_labels for task in self.tasks):
            record |= {"accuracy": self.hits / sum(len(rows) for _, rows in batches), "labels": len(self.predicted)}
        # an epoch may have no batch of a small task
        of_tasks = zip(names, self.losses, sizes, strict=False)
        return record | {f"loss/{name}": total / size for name, total, size in of_tasks if size}
