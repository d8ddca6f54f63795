"""What commands do with a model, while a bar shows how far they are."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
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

from softcloze.backbone import Backbone, load_backbone
from softcloze.classifiers import Prediction, PromptClassifier, predict_stream
from softcloze.classifiers.streaming import WINDOW
from softcloze.cli.console import errors, plain, quiet, say, warn
from softcloze.cli.input_files import Row
from softcloze.cli.resumable import Tally
from softcloze.prompt import Prompt
from softcloze.starters import fetch_model

STARTER = "starter:"


@dataclass(frozen=True, slots=True)
class Scored:
    """What a classifier made of rows.

    Attributes:
        labels: the classifier's labels, as text, in the order of the probabilities.
        predicted: the label of each row; None for a row that could not be encoded.
        probabilities: shape (rows, labels); nan for such a row.
        tally: how many rows have each label, and which could not be encoded.
    """

    labels: tuple[str, ...]
    predicted: list[str | None]
    probabilities: np.ndarray
    tally: Tally


class _Speed(ProgressColumn):
    """Rows in a second."""

    def render(self, task: Task) -> Text:
        """The speed of the last half minute, where there is any yet."""
        return Text("" if task.speed is None else f"{task.speed:,.{0 if task.speed >= 10 else 1}f} rows/s")


@contextmanager
def progress_bar(*more: ProgressColumn) -> Iterator[Progress]:
    """A bar on the error stream, gone when the work is done; none where that is no terminal."""
    console = errors()
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        *more,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield progress


def fetch(model: str) -> None:
    """Get the files of a starter model, and say so where that takes time."""
    if model.startswith(STARTER):
        fetch_model(model.removeprefix(STARTER), on_progress=lambda line: say(errors(), plain(line, "dim")))


def open_backbone(model: str, *, compile: bool = False) -> Backbone:
    """Load a model, and say what takes time about it."""
    quiet()
    fetch(model)
    with errors().status(Text.assemble("compiling " if compile else "loading ", plain(model))):
        return load_backbone(model, compile=compile)


def open_classifier(folder: Path, model: str | None, *, compile: bool = False) -> PromptClassifier:
    """Load a saved prompt and the model it belongs to."""
    prompt = Prompt.load(folder)
    backbone = open_backbone(model if model is not None else prompt.model, compile=compile)
    return PromptClassifier.load(folder, backbone)


def label_rows(
    classifier: PromptClassifier, rows: Iterable[object], total: int, done: int = 0
) -> Generator[list[Prediction]]:
    """Label rows while a bar shows how far that is, a window at a time.

    Args:
        classifier: ready to predict.
        rows: as `predict_stream` takes them; one that is no mapping is a bad row.
        total: how many rows there are.
        done: how many of them were labelled before, and are not among `rows`.
    """
    with progress_bar(_Speed()) as progress:
        task = progress.add_task("scoring", total=total, completed=done)
        found = predict_stream(classifier, cast("Iterable[Row]", rows))
        while window := list(islice(found, WINDOW)):
            progress.advance(task, len(window))
            yield window


def score_rows(classifier: PromptClassifier, rows: Iterable[Row], total: int) -> Scored:
    """Score rows; those that cannot be encoded are named, all others scored.

    Raises:
        FileError: not one row can be encoded; gives the first one's reason.
    """
    labels = tuple(map(str, classifier.classes_))
    scored = Scored(labels, [], np.full((total, len(labels)), np.nan), Tally())
    for window in label_rows(classifier, rows, total):
        for found in window:
            label = str(found.label) if found.error is None else None
            scored.predicted.append(label)
            scored.tally.add(label, found.error)
            if found.probabilities is not None:
                scored.probabilities[found.row] = found.probabilities
    scored.tally.check()
    return scored


def warn_of(tally: Tally, consequence: str) -> None:
    """One warning line that counts the bad rows, and a line for each of the first."""
    if not tally.problems:
        return
    warn(f"{tally.problems:,} of {tally.rows:,} rows could not be encoded {consequence}")
    console = errors()
    for row, reason in tally.reasons.items():
        say(console, f"  row {row}: ", plain(reason))
    if tally.problems > len(tally.reasons):
        say(console, f"  and {tally.problems - len(tally.reasons):,} more")
