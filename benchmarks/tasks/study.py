"""Run the cells of the study that are missing, within a budget of time."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tasks.cells import Cell, Study
from benchmarks.tasks.methods import Family
from benchmarks.tasks.sets import Task
from softcloze.experiments import Method, Progress, Protocol, compare

CELLS = "cells.json"


class OutOfTimeError(Exception):
    """The budget is spent."""


@dataclass
class Runner:
    """Fills the cells of a folder; methods whose cells are all there are left out.

    Attributes:
        folder: of the cells, and of the runs from which an interrupted comparison resumes.
        hours: budget of wall time, over all commands on this folder.
        say: takes a line about the progress.
        processes: runs at a time.
    """

    folder: Path
    hours: float
    say: Callable[[str], None]
    processes: int = 1

    def run(
        self, tasks: Iterable[Task], families: Mapping[str, Family], shots: Sequence[int], draws: int | None = None
    ) -> Study:
        """Measure families in turn, each on all tasks; a family or cell that fails keeps its error.

        Args:
            tasks: to measure.
            families: by name, in this order.
            shots: training rows of each class, as far as a task allows them, the most important number first.
            draws: at most so many of each family.
        """
        self.study = Study.read(self.folder / CELLS)
        self._started, self._spent = time.monotonic(), self.study.seconds
        tasks = list(tasks)
        try:
            for family in families.values():
                for sizes in [shots] if family.shared else [[size] for size in shots]:
                    for task in tasks:
                        allowed = [size for size in sizes if size in task.shots]
                        if allowed:
                            self._measure(task, family, allowed, draws)
        except OutOfTimeError:
            self.say(f"the budget of {self.hours} hours is spent; a larger --hours resumes")
        self._write()
        return self.study

    def _measure(self, task: Task, family: Family, shots: Sequence[int], draws: int | None) -> None:
        split = task.split()
        self.study.describe(task, split)
        self.study.forget(lambda cell: cell.error and cell.task == task.name and cell.method in family.methods)
        seeds = min(family.draws, draws if draws is not None else family.draws)
        missing = {name: make for name, make in family.methods.items() if not self._has(task, name, shots, seeds)}
        if not missing:
            return
        try:
            methods = [Method(name, make(task)) for name, make in missing.items()]
            protocol = Protocol(shots, seeds, len(split.test), task.balanced)
            settings = {"folder": self.folder / "runs", "processes": self.processes, "task": task.name}
            compare(methods, split, protocol, on_progress=self._on_progress, **settings)
        except OutOfTimeError:
            raise
        except Exception as error:  # noqa: BLE001 - the other families and tasks continue
            message = f"{type(error).__name__}: {error}"
            self.say(f"{task.name}: {message}")
            for name in family.methods:
                self.study.add(Cell(task.name, name, 0, 0, error=message))
            self._write()

    def _has(self, task: Task, method: str, shots: Sequence[int], seeds: int) -> bool:
        """True if all cells of a method are there; one without training has a single cell at 0 rows."""
        cells = self.study.cells
        draws = ((task.name, method, size, seed) for size in shots for seed in range(seeds))
        return (task.name, method, 0, 0) in cells or all(key in cells for key in draws)

    def _on_progress(self, event: Progress) -> None:
        self.study.take(event.comparison)
        self._write()
        if event.doing and self.study.seconds > self.hours * 3600:
            raise OutOfTimeError
        for method, shots, seed in event.doing:
            hours = self.study.seconds / 3600
            self.say(f"{hours:.2f} h: {event.comparison.task}, {method}, {shots} rows of each class, draw {seed}")

    def _write(self) -> None:
        self.study.seconds = self._spent + time.monotonic() - self._started
        self.study.write(self.folder / CELLS)
