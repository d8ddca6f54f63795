"""What commands do with a model, while a bar shows how far they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from softcloze.backbone import Backbone, load_backbone
from softcloze.cli.console import errors, plain, quiet, say, warn
from softcloze.cli.errors import FileError
from softcloze.cli.rows import Row
from softcloze.encoding import EncodingError
from softcloze.estimator import PromptClassifier
from softcloze.prompt import Prompt
from softcloze.starters import fetch_model
from softcloze.template import FieldError

STARTER = "starter:"
CHUNK = 100  # rows between two moves of the bar


@dataclass(frozen=True, slots=True)
class Scored:
    """What a classifier made of rows.

    Attributes:
        labels: the classifier's labels, as text, in the order of the probabilities.
        predicted: the label of each row; None for a row that could not be encoded.
        probabilities: shape (rows, labels); nan for such a row.
        problems: row to the reason why it could not be encoded.
    """

    labels: tuple[str, ...]
    predicted: tuple[str | None, ...]
    probabilities: np.ndarray
    problems: dict[int, str]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on the error stream, gone when the work is done; none where that is no terminal."""
    console = errors()
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield progress


def open_backbone(model: str) -> Backbone:
    """Load a model, and say what takes time about it."""
    quiet()
    console = errors()
    if model.startswith(STARTER):
        name = model.removeprefix(STARTER)
        fetch_model(name, on_progress=lambda line: say(console, plain(line, "dim")))
    with console.status(Text.assemble("loading ", plain(model))):
        return load_backbone(model)


def open_classifier(folder: Path, model: str | None) -> PromptClassifier:
    """Load a saved prompt and the model it belongs to."""
    prompt = Prompt.load(folder)
    return PromptClassifier.load(folder, open_backbone(model if model is not None else prompt.model))


def score_rows(classifier: PromptClassifier, rows: Sequence[Row]) -> Scored:
    """Score rows; those that cannot be encoded are named, all others scored.

    Raises:
        FileError: not one row can be encoded; gives the first one's reason.
    """
    labels = tuple(map(str, classifier.classes_))
    probabilities = np.full((len(rows), len(labels)), np.nan)
    problems: dict[int, str] = {}

    def score(start: int, stop: int) -> None:
        try:
            probabilities[start:stop] = classifier.predict_proba(rows[start:stop])
        except (FieldError, EncodingError) as error:
            if stop - start == 1:
                problems[start] = str(error).removeprefix("row 0: ")  # counted from the row that was given
                return
            middle = (start + stop) // 2  # halves, until the bad row is alone
            score(start, middle)
            score(middle, stop)

    with progress_bar() as progress:
        task = progress.add_task("scoring", total=len(rows))
        for start in range(0, len(rows), CHUNK):
            score(start, min(start + CHUNK, len(rows)))
            progress.advance(task, min(CHUNK, len(rows) - start))
    if rows and len(problems) == len(rows):
        raise FileError(f"none of the {len(rows)} rows can be encoded; row 0: {problems[0]}")
    predicted = tuple(
        None if row in problems else labels[best]
        for row, best in enumerate(np.nan_to_num(probabilities, nan=-1.0).argmax(1))
    )
    return Scored(labels, predicted, probabilities, problems)


def warn_of(problems: dict[int, str], total: int, consequence: str, most: int = 5) -> None:
    """One warning line that counts the bad rows, and a line for each of the first."""
    if not problems:
        return
    warn(f"{len(problems):,} of {total:,} rows could not be encoded {consequence}")
    console = errors()
    for row, reason in list(problems.items())[:most]:
        say(console, f"  row {row}: ", plain(reason))
    if len(problems) > most:
        say(console, f"  and {len(problems) - most:,} more")
