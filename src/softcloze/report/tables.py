"""The table of results: methods by training rows, quality and cost side by side."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from softcloze.analysis import TopWord
from softcloze.experiments import Comparison, Run, Shots, Spread, Summary
from softcloze.experiments.confident_errors import most_confident_errors
from softcloze.formatting import ABSENT, mean_sd, quantity, size, visible
from softcloze.report.numbers import count, sentence, shots_phrase
from softcloze.report.verdict import Findings, Standing


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


WORST = 10
EXCERPT = 600  # characters of a text that are shown


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a method took one label for another.

    Attributes:
        method: its name.
        shots: training rows that it had.
        runs: runs that are added up.
        rows: each true label with how often each label was given, both in the order of the classes.
    """

    method: str
    shots: Shots
    runs: int
    rows: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A held-out row that is taken for something else.

    Attributes:
        text: of the row.
        label: the true one.
        label_probability: what it is given.
        given: the likeliest label.
        given_probability: its probability.
        top_words: the likeliest words at the mask, in the first run that tells.
    """

    text: str
    label: str
    label_probability: float
    given: str
    given_probability: float
    top_words: tuple[TopWord, ...]


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The mistakes that one method is surest of.

    Attributes:
        method: its name.
        shots: training rows that it had.
        runs: runs whose probabilities are averaged.
        worst: the surest first.
    """

    method: str
    shots: Shots
    runs: int
    worst: tuple[Mistake, ...]


def confusions(findings: Findings) -> list[Confusion]:
    """The confusion matrix of each method with the most training rows that it had."""
    comparison, found = findings.comparison, []
    for card in comparison.methods:
        if not (summaries := findings.of(card.name)):
            continue
        runs = comparison.of(card.name, summaries[-1].shots)
        given = np.concatenate([_probabilities(run).argmax(1) for run in runs])
        counts = confusion_matrix(np.tile(comparison.truth, len(runs)), given, labels=range(len(comparison.classes)))
        rows = tuple(zip(comparison.classes, map(tuple, counts.tolist()), strict=True))
        found.append(Confusion(card.name, summaries[-1].shots, len(runs), rows))
    return found


def worst_mistakes(comparison: Comparison, standing: Standing) -> Mistakes:
    """The rows that the best method of a standing is surest of and wrong about.

    Args:
        comparison: what was measured.
        standing: at one number of training rows.
    """
    best = standing.best
    runs = comparison.of(best.method, best.shots)
    mean = np.stack([_probabilities(run) for run in runs]).mean(0, dtype=np.float64)
    truth, given = comparison.truth, mean.argmax(1)
    worst = (
        Mistake(
            comparison.texts[row],
            comparison.labels[row],
            float(mean[row, truth[row]]),
            comparison.classes[given[row]],
            float(mean[row].max()),
            next((run.top_words[row] for run in runs if row in run.top_words), ()),
        )
        for row in most_confident_errors(mean, truth, WORST)
    )
    return Mistakes(best.method, best.shots, len(runs), tuple(worst))


def excerpt(text: str) -> str:
    """The beginning of a text, made visible, and how much is left out.

    >>> excerpt("好" * 608)[-25:]
    '好好好 … (8 more characters)'
    """
    left_out = len(text) - EXCERPT
    return visible(text[:EXCERPT]) + (f" … ({left_out:,} more characters)" if left_out > 0 else "")


def _probabilities(run: Run) -> np.ndarray:
    if run.probabilities is None:
        raise ValueError(f"the run of {run.method!r} with seed {run.seed} has neither probabilities nor an error")
    return run.probabilities
