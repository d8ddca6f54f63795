"""The cells of the study, a method on a draw of a task, and the file that keeps them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.tasks.sets import Task
from softcloze.data import Split
from softcloze.experiments import Comparison, Run
from softcloze.experiments.results import class_indices
from softcloze.experiments.statistics import measure
from softcloze.files import write_text

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"  # of classes, in strings of predictions


@dataclass(frozen=True)
class Cell:
    """A method, trained on a draw of a task and measured on its held-out rows.

    Attributes:
        task, method: their names.
        shots: training rows of each class; 0 for a method that needs none.
        seed: of the draw.
        balanced_accuracy, accuracy, log_loss: on the held-out rows; None for a cell that failed.
        fit_seconds, predict_seconds: wall time.
        trainable: trained numbers.
        artifact_bytes: size of what is saved; None if the method does not report it.
        predicted: the index of the predicted class of each row, a digit each.
        error: message of a cell that failed.
    """

    task: str
    method: str
    shots: int
    seed: int
    balanced_accuracy: float | None = None
    accuracy: float | None = None
    log_loss: float | None = None
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    trainable: int = 0
    artifact_bytes: int | None = None
    predicted: str = ""
    error: str | None = None

    @classmethod
    def of(cls, task: str, run: Run, truth: np.ndarray) -> "Cell":
        """The cell of a run."""
        where = task, run.method, int(run.shots), run.seed
        if run.probabilities is None:
            return cls(*where, error=run.error)
        metrics = measure(truth, run.probabilities)
        return cls(
            *where,
            *(round(metrics[name], 4) for name in ("balanced_accuracy", "accuracy", "log_loss")),
            round(run.fit_seconds, 2),
            round(run.predict_seconds, 2),
            run.trainable,
            run.artifact_bytes,
            digits(run.probabilities.argmax(1)),
        )


@dataclass
class Study:
    """All that is kept.

    Attributes:
        tasks: facts of each task: language, source, classes, and the class of each held-out row as digits.
        cells: by task, method, shots and seed.
        environment: versions, processor and date of the last comparison.
        seconds: wall time of all commands that filled it.
    """

    tasks: dict[str, dict[str, str | int]] = field(default_factory=dict)
    cells: dict[tuple[str, str, int, int], Cell] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> "Study":
        """Read a file, or begin anew where there is none."""
        if not path.exists():
            return cls()
        saved = json.loads(path.read_text(encoding="utf-8"))
        cells = [Cell(**cell) for cell in saved.pop("cells")]
        return cls(cells={(cell.task, cell.method, cell.shots, cell.seed): cell for cell in cells}, **saved)

    def write(self, path: Path) -> None:
        """Write the file atomically, a line for each cell."""
        cells = ",\n".join(json.dumps(asdict(cell), ensure_ascii=False) for cell in self.cells.values())
        head = {"tasks": self.tasks, "environment": self.environment, "seconds": round(self.seconds, 1)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(head, ensure_ascii=False)[:-1] + f', "cells": [\n{cells}\n]}}\n')

    def describe(self, task: Task, split: Split) -> None:
        """Keep the facts of a task; cells on other held-out rows are forgotten."""
        labels = sorted({*split.train.labels, *split.test.labels})
        truth = digits(class_indices(split.test.labels, labels))
        if self.tasks.get(task.name, {}).get("truth", truth) != truth:
            self.forget(lambda cell: cell.task == task.name)
        facts = {"language": task.language, "source": task.source, "classes": len(labels), "train": len(split.train)}
        self.tasks[task.name] = {**facts, "truth": truth}

    def forget(self, which: Callable[[Cell], object]) -> None:
        """Remove cells."""
        self.cells = {key: cell for key, cell in self.cells.items() if not which(cell)}

    def add(self, cell: Cell) -> None:
        """Keep a cell in place of an older one."""
        self.cells[cell.task, cell.method, cell.shots, cell.seed] = cell

    def take(self, comparison: Comparison) -> None:
        """Keep the runs of a comparison."""
        self.environment = comparison.environment
        for run in comparison.runs:
            self.add(Cell.of(comparison.task, run, comparison.truth))


def digits(classes: np.ndarray) -> str:
    """Class indices as digits.

    >>> digits(np.array([0, 11]))
    '0b'
    """
    return "".join(DIGITS[index] for index in classes)


def indices(text: str) -> np.ndarray:
    """Class indices from digits.

    >>> indices("0b")
    array([ 0, 11])
    """
    return np.array([DIGITS.index(digit) for digit in text])
