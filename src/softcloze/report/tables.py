"""The table of results: methods by training rows, quality and cost side by side."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softcloze.experiments.comparison import Summary
from softcloze.experiments.statistics import Spread
from softcloze.report.findings import Findings
from softcloze.report.numbers import ABSENT, count, mean_sd, quantity, sentence, shots_phrase, size


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity.

    Attributes:
        title: its name, in two lines.
        text: how it is written.
        rank: what is smallest where the quantity is best; None where nothing is called best.
    """

    title: tuple[str, str]
    text: Callable[[Summary], str]
    rank: Callable[[Summary], float] | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as text, and whether it is the best of its group."""

    text: str
    best: bool


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a method."""

    method: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The methods at one number of training rows."""

    title: str
    rows: tuple[Row, ...]


def columns(findings: Findings) -> list[Column]:
    """What the table shows; balanced accuracy only where it says something else than accuracy."""
    rows = len(findings.comparison.texts)
    quality = [
        _share(("accuracy", "%"), lambda each: each.accuracy),
        _share(("balanced", "accuracy, %"), lambda each: each.balanced_accuracy),
        _share(("macro F1", "%"), lambda each: each.macro_f1),
        _loss(("log loss", "nats"), lambda each: each.log_loss),
        _loss(("calibration", "error"), lambda each: each.calibration_error),
    ]
    if len(set(Counter(findings.comparison.labels).values())) == 1:
        del quality[1]
    return [
        *quality,
        Column(("trained", "numbers"), lambda each: count(each.trainable)),
        Column(("training", "s"), lambda each: quantity(each.fit_seconds)),
        Column(("scoring", "rows/s"), lambda each: _speed(rows, each)),
        Column(("peak", "memory"), lambda each: size(each.peak_memory)),
        Column(("artifact", "size"), lambda each: size(each.artifact_bytes)),
    ]


def groups(findings: Findings, shown: Sequence[Column]) -> list[Group]:
    """The rows of the table, together where methods had the same number of training rows."""
    found = []
    for shots in findings.shots:
        there = [each for each in findings.summaries if each.shots == shots]
        rows = tuple(
            Row(each.method, tuple(Cell(column.text(each), _is_best(column, each, there)) for column in shown))
            for each in there
        )
        found.append(Group(sentence(shots_phrase(shots)), rows))
    return found


def _is_best(column: Column, each: Summary, there: Sequence[Summary]) -> bool:
    """Whether no other of several reads better; what reads alike is alike."""
    if column.rank is None or len(there) < 2:
        return False
    best = min(there, key=column.rank)
    return column.text(each).split()[0] == column.text(best).split()[0]


def _share(title: tuple[str, str], of: Callable[[Summary], Spread]) -> Column:
    """Better if higher."""
    return Column(
        title, lambda each: mean_sd(of(each).mean, of(each).sd, scale=100, digits=1), lambda each: -of(each).mean
    )


def _loss(title: tuple[str, str], of: Callable[[Summary], Spread]) -> Column:
    """Better if lower."""
    return Column(title, lambda each: mean_sd(of(each).mean, of(each).sd), lambda each: of(each).mean)


def _speed(rows: int, each: Summary) -> str:
    """Rows a second."""
    return quantity(rows / each.predict_seconds) if each.predict_seconds else ABSENT
