"""Load models and score rows while a bar shows the progress; torch is imported only when a model is needed."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from softcloze.cli.console import errors, plain, quiet, say, warn
from softcloze.cli.delimited import Row
from softcloze.cli.input_files import Table
from softcloze.cli.resumable import RowCounts
from softcloze.formatting import counted

if TYPE_CHECKING:
    import numpy as np

    from softcloze.backbone import Backbone
    from softcloze.encoding import PromptTokenizer
    from softcloze.prompt.streaming import Prediction, RowPredictor, WrittenRow

AnyRow = TypeVar("AnyRow", bound="Prediction | WrittenRow")
SECONDS = 30  # between lines about the progress where there is no terminal


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions of a classifier for the rows of a file.

    Attributes:
        labels: the classifier's labels, as text, in the order of the probabilities.
        predicted: the label of each row; None for a row that could not be scored.
        probabilities: shape (rows, labels); nan for such a row.
        counts: rows by label, and the rows that could not be scored.
    """

    labels: tuple[str, ...]
    predicted: list[str | None]
    probabilities: "np.ndarray"
    counts: RowCounts


class _Speed(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """The speed over the last half minute; empty before the first item."""
        speed = "" if task.speed is None else f"{task.speed:,.{0 if task.speed >= 10 else 1}f}/s"
        return Text(speed)


@contextmanager
def show_progress(description: str, total: int | None, done: int = 0) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of long work on the error stream: a bar on a terminal, else a line every half minute.

    Args:
        description: of the work.
        total: number of items, None if it is not known yet.
        done: number of items that are done at the start.

    Yields:
        A function that takes the number of items that are done and their total.
    """
    console, started = errors(), time.monotonic()
    last = started
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(description, total=total, completed=done)

        def update(completed: int, of: int) -> None:
            nonlocal last
            bar.update(task, completed=completed, total=of)
            now = time.monotonic()
            if not console.is_terminal and now - last >= SECONDS and completed > done:
                last = now
                left = timedelta(seconds=round((now - started) / (completed - done) * (of - completed)))
                say(console, plain(f"{description}: {completed:,} of {of:,}, about {left} left"))

        yield update


def fetch(model: str) -> None:
    """Download the files of a starter language model unless they are cached, and report each step."""
    from softcloze.starters import validate_language_model_starter

    validate_language_model_starter(model)
    fetch_starter(model)


def fetch_starter(model: str) -> None:
    """Download the files of any starter model unless they are cached, and report each step."""
    from softcloze.starters import STARTER, fetch_model

    if model.startswith(STARTER):
        fetch_model(model.removeprefix(STARTER), on_progress=lambda line: say(errors(), plain(line, "dim")))


def open_backbone(model: str, *, compile: bool = False, **options: Any) -> "Backbone":  # noqa: ANN401
    """Load a model with options of `load_backbone`, and show what takes time."""
    from softcloze.backbone import load_backbone

    quiet()
    fetch(model)
    with errors().status(Text.assemble("compiling " if compile else "loading ", plain(model))):
        return load_backbone(model, compile=compile, **options)


def open_tokenizer(model: str) -> "tuple[PromptTokenizer, int]":
    """Load a model's tokenizer without its weights, with the longest prompt that the model takes."""
    from softcloze.backbone import load_tokenizer
    from softcloze.encoding import PromptTokenizer

    quiet()
    fetch(model)
    tokenizer, family, max_length = load_tokenizer(model)
    return PromptTokenizer(tokenizer, masked=family != "causal", decoder=family == "seq2seq"), max_length


def take_rows(
    rows: Iterator[AnyRow], total: int, done: int = 0, *, work: str = "scoring rows", window: int
) -> Generator[list[AnyRow]]:
    """Take rows with their results, one window at a time, while a bar shows the progress.

    At the end, say what was cut from the rows.

    Args:
        rows: made as they are taken.
        total: number of all rows.
        done: number of rows that were finished before and are not among them.
        work: description of the work.
        window: rows of a window.
    """
    with show_progress(work, total, done) as update:
        count, rows_cut, lost = 0, 0, Counter[str]()
        while taken := list(islice(rows, window)):
            for row in taken:
                rows_cut += bool(row.cut or row.dropped)
                lost.update({f"tokens of {name!r}": tokens for name, tokens in row.cut.items()})
                lost.update({"demonstrations": row.dropped} if row.dropped else {})
            count += len(taken)
            update(done + count, total)
            yield taken
    if rows_cut:
        parts = ", ".join(f"{number:,} {what}" for what, number in lost.items())
        cut = f"{rows_cut:,} of {counted(count, 'row')} {'was' if rows_cut == 1 else 'were'} too long"
        say(errors(), plain(f"{cut} and lost something ({parts})"))


def score_rows(bound: "RowPredictor[Any]", rows: Iterable[Row], total: int) -> Scored:
    """Score all rows that can be scored, and count the others."""
    import numpy as np

    from softcloze.prompt.streaming import WINDOW, predict_rows

    labels = tuple(map(str, bound.labels))
    scored = Scored(labels, [], np.full((total, len(labels)), np.nan), RowCounts.of(labels))
    for window in take_rows(predict_rows(bound, iter(rows)), total, window=WINDOW):
        for prediction in window:
            label = str(prediction.label) if prediction.error is None else None
            scored.predicted.append(label)
            scored.counts.add(label, prediction.error)
            if prediction.probabilities is not None:
                scored.probabilities[prediction.row] = prediction.probabilities
    return scored


def warn_of_bad_rows(table: Table, counts: RowCounts, consequence: str) -> None:
    """Print a warning line that counts the bad rows, and a line for each of the first ones."""
    if not counts.problems:
        return
    warn(f"{counts.problems:,} of {counted(counts.rows, 'row')} could not be {counts.verb} {consequence}")
    console = errors()
    for row in counts.reasons:
        say(console, "  ", plain(counts.reason(table, row)))
    if counts.problems > len(counts.reasons):
        say(console, f"  and {counts.problems - len(counts.reasons):,} more")
