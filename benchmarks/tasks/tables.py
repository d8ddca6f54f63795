"""The tables of a study's page, from its cells."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.tasks.cells import Cell, Study, indices
from benchmarks.tasks.sets import SHOTS, TASKS
from softcloze.experiments.statistics import Resampling, Spread, paired
from softcloze.files import write_text

START, END = "<!-- tables -->", "<!-- end of tables -->"
LEVEL = 0.9  # of the intervals


@dataclass(frozen=True)
class Layout:
    """The tables that a study shows.

    Attributes:
        methods: their order.
        references: methods that others are compared with; the first that was measured is taken.
        each: True to compare each method with the reference, False to compare the reference with the best other one.
        sizes: True for a table of trained numbers and saved bytes.
    """

    methods: Sequence[str]
    references: Sequence[str]
    each: bool = False
    sizes: bool = False


def render(study: Study, layout: Layout, page: Path) -> None:
    """Write the tables of a study into its page."""
    write_tables(page, Tables(study, layout).markdown())


def write_tables(page: Path, tables: str) -> None:
    """Write tables between the two marks of a page; the rest of it stays."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    write_text(page, f"{before}{START}\n\n{tables}\n{END}{after}")


class Tables:
    """Tables of a study."""

    def __init__(self, study: Study, layout: Layout):
        """Group the cells by task, method and shots."""
        self.study = study
        self.layout = layout
        self.groups: dict[tuple[str, str, int], list[Cell]] = defaultdict(list)
        for cell in study.cells.values():
            if cell.error is None:
                self.groups[cell.task, cell.method, cell.shots].append(cell)
        self.tasks = _ordered(study.tasks, list(TASKS))
        self.methods = _ordered({method for _, method, _ in self.groups}, layout.methods)
        self.reference = next((name for name in layout.references if name in self.methods), None)
        self.shots = sorted({shots for *_, shots in self.groups if shots} or SHOTS)

    def markdown(self) -> str:
        """The tasks, a table for each number of rows, differences, seconds, sizes, and what failed."""
        differences = self._from_reference if self.layout.each else self._from_best
        parts = [self._conditions(), "### Tasks", self._of_tasks()]
        for shots in self.shots:
            parts += [f"### {shots} rows of each class", self._accuracies(shots), differences(shots)]
        parts += ["### Seconds of a fit", self._seconds()]
        if self.layout.sizes:
            parts += ["### Trained numbers and saved kilobytes", self._sizes()]
        parts.append(self._errors())
        return "\n\n".join(filter(None, parts)) + "\n"

    def cells(self, task: str, method: str, shots: int) -> list[Cell]:
        """The finished cells, by seed; a method that needs no rows has the same at any number."""
        cells = self.groups.get((task, method, shots)) or self.groups.get((task, method, 0), [])
        return sorted(cells, key=lambda cell: cell.seed)

    def _conditions(self) -> str:
        facts = self.study.environment
        versions = [f"{name} {facts[name]}" for name in ("torch", "transformers") if name in facts]
        machine = [facts[name] for name in ("processor", "date") if name in facts]
        return f"{', '.join([*versions, *machine])}; {self.study.seconds / 3600:.1f} hours in all."

    def _of_tasks(self) -> str:
        rows = []
        for name in self.tasks:
            facts = self.study.tasks[name]
            rows.append([name, facts["language"], facts["classes"], facts["train"], len(str(facts["truth"]))])
        return markdown_table(["task", "language", "classes", "training rows", "held-out rows"], rows)

    def _accuracies(self, shots: int) -> str:
        """Balanced accuracy of each task and method, the best in bold, and the means over tasks."""
        rows, complete = [], []
        for task in self.tasks:
            means = {method: self._mean(task, method, shots) for method in self.methods}
            if not self._measured(task, shots):
                continue
            best = max(mean for mean in means.values() if mean is not None)
            cells = [self._cell(task, method, shots, means[method] == best) for method in self.methods]
            rows.append([task, *cells])
            complete.append(means)
        if not rows:
            return "Nothing was measured."
        columns = [[means[method] for means in complete] for method in self.methods]
        rows.append(["**mean**", *("" if None in column else f"{fmean(column):.3f}" for column in columns)])
        return markdown_table(["balanced accuracy", *self.methods], rows)

    def _from_best(self, shots: int) -> str:
        """The reference method minus the best other one on each task, with an interval over rows and draws."""
        rows = []
        for task in self.tasks:
            others = {name: self._mean(task, name, shots) for name in self.methods if name != self.reference}
            others = {name: mean for name, mean in others.items() if mean is not None}
            if self.reference is None or self._mean(task, self.reference, shots) is None or not others:
                continue
            best = max(others, key=lambda name: others[name])
            mean, low, high = self._paired(task, self.reference, best, shots)
            rows.append([task, best, f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}"])
        header = [f"{self.reference} minus the best other", "other", "difference", "90 % interval"]
        return markdown_table(header, rows) if rows else ""

    def _from_reference(self, shots: int) -> str:
        """Each other method minus the reference on each task, with an interval over rows and draws."""
        others = [name for name in self.methods if name != self.reference]
        rows = []
        for task in self.tasks:
            if self.reference is None or self._mean(task, self.reference, shots) is None:
                continue
            row = [task]
            for name in others:
                if self._mean(task, name, shots) is None:
                    row.append("")
                    continue
                mean, low, high = self._paired(task, name, self.reference, shots)
                row.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
            rows.append(row)
        return markdown_table([f"minus {self.reference}, 90 % interval", *others], rows) if rows else ""

    def _seconds(self) -> str:
        rows = []
        for shots in self.shots:
            groups = [
                [cell.fit_seconds for task in self.tasks for cell in self.groups.get((task, method, shots), [])]
                for method in self.methods
            ]
            rows.append([shots, *(f"{fmean(group):.1f}" if group else "" for group in groups)])
        return markdown_table(["rows of each class", *self.methods], rows)

    def _sizes(self) -> str:
        """Trained numbers, and the size of what is saved, of each method on each task."""
        rows = []
        for task in self.tasks:
            row = [task]
            for method in self.methods:
                cells = [cell for shots in self.shots for cell in self.cells(task, method, shots)]
                trained = max((cell.trainable for cell in cells), default=0)
                size = max((cell.artifact_bytes or 0 for cell in cells), default=0)
                row.append(f"{trained:,}, {size / 1000:,.0f}" if cells else "")
            rows.append(row)
        return markdown_table(["", *self.methods], rows)

    def _errors(self) -> str:
        """The first line of each error, with the cells that it ended."""
        where: dict[str, list[str]] = defaultdict(list)
        for cell in self.study.cells.values():
            if cell.error is not None:
                where[f"{cell.method}: {cell.error.splitlines()[0]}"].append(cell.task)
        lines = [f"- {message} ({', '.join(dict.fromkeys(tasks))})" for message, tasks in where.items()]
        return "### Failed\n\n" + "\n".join(lines) if lines else ""

    def _measured(self, task: str, shots: int) -> bool:
        return any((task, method, shots) in self.groups for method in self.methods)

    def _mean(self, task: str, method: str, shots: int) -> float | None:
        values = [cell.balanced_accuracy for cell in self.cells(task, method, shots)]
        return fmean(value for value in values if value is not None) if values else None

    def _cell(self, task: str, method: str, shots: int, best: bool) -> str:
        values = [cell.balanced_accuracy for cell in self.cells(task, method, shots)]
        if not values:
            return ""
        spread = Spread.of([value for value in values if value is not None])
        mean = f"**{spread.mean:.3f}**" if best else f"{spread.mean:.3f}"
        return mean if spread.sd is None else f"{mean} ± {spread.sd:.3f}"

    def _paired(self, task: str, method: str, other: str, shots: int) -> tuple[float, float, float]:
        """Mean difference in balanced accuracy on the draws that both have, and its interval."""
        truth = indices(str(self.study.tasks[task]["truth"]))
        classes = int(self.study.tasks[task]["classes"])
        pair = [{cell.seed: cell for cell in self.cells(task, name, shots)} for name in (method, other)]
        alone = [[cell.shots for cell in cells.values()] == [0] for cells in pair]
        shared = sorted(set.intersection(*(set(cells) for cells, one in zip(pair, alone, strict=True) if not one)))
        runs = [
            [np.eye(classes, dtype=np.float32)[indices(cells[seed].predicted)] for seed in (cells if one else shared)]
            for cells, one in zip(pair, alone, strict=True)
        ]
        result = paired(*runs, truth, "balanced_accuracy", Resampling(len(truth)), LEVEL)
        return result.mean, result.low, result.high


def _ordered(names: Sequence[str] | set[str] | dict[str, object], order: Sequence[str]) -> list[str]:
    """Names in the order of a list; those that it lacks at the end."""
    return [name for name in order if name in names] + [name for name in names if name not in order]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
