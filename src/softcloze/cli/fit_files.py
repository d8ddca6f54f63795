"""Files of a fit: the folder that it saves, the folder of its progress, and messages about both."""

import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softcloze.cli.console import errors, plain, results, say, warn
from softcloze.cli.delimited import Row
from softcloze.cli.progress import score_rows, show_progress
from softcloze.errors import FileError
from softcloze.formatting import counted
from softcloze.launcher import process_rank
from softcloze.lint import lint
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

if TYPE_CHECKING:
    from softcloze.classifiers import ProbeClassifier, PromptClassifier, PromptEnsemble, PromptGenerator
    from softcloze.prompt.streaming import RowPredictor


@contextmanager
def first_process_alone_reports() -> Iterator[None]:
    """Print progress and warnings in the first process of a launcher alone, in a `with` block or decorated function."""
    console = errors()
    console.quiet = process_rank() > 0
    try:
        yield
    finally:
        console.quiet = False  # for errors, which may be those of one process


def progress_folder(folder: Path) -> Path:
    """The folder for the progress of the fit: beside the prompt's folder, or inside it if that exists already."""
    # the parent of a folder that exists may be read-only, as that of a mounted one
    return folder / ".fit.part" if folder.is_dir() else folder.with_name(f"{folder.name}.part")


@contextmanager
def explain_interruption(card: Path, progress: Path) -> Iterator[None]:
    """Say after an interruption, by Ctrl-C or SIGTERM, what is kept and how to resume.

    Args:
        card: the card of the folder that the fit saves.
        progress: folder of the checkpoints.
    """

    def terminate(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before, handler = _time_of_change(card), signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if _time_of_change(card) != before:
            say(errors(), "interrupted: the prompt is saved in ", plain(card.parent))
        elif any(progress.glob("*.safetensors")):
            how = "; run the same command again to resume, or delete the folder"
            say(errors(), "interrupted: the progress is kept in ", plain(progress), how)
        else:
            say(errors(), "interrupted before there was progress to keep; nothing is saved")
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)


def _time_of_change(path: Path) -> int | None:
    """Time of the last change of a file, if it exists."""
    return path.stat().st_mtime_ns if path.exists() else None


@contextmanager
def reported_training(work: str, epochs: int, progress: Path, part_size: int | None = None) -> Iterator[dict[str, Any]]:
    """Show the progress of a training: its steps in a bar, and a line for each epoch.

    Args:
        work: description of the work.
        epochs: passes over the rows, at most.
        progress: folder of the checkpoints.
        part_size: examples in a forward and backward pass, at most; None for as many as fit into memory.

    Yields:
        The options of training for `set_params`, which report to this and keep checkpoints.
    """
    with show_progress(work, None) as update:
        reported = list[int]()

        def on_epoch(record: dict[str, Any]) -> None:
            accuracy = f"accuracy {record['accuracy']:.3f}   " if "accuracy" in record else ""
            say(
                errors(),
                f"epoch {record['epoch']:>{len(str(epochs))}} of {epochs}   loss {record['loss']:.3f}   {accuracy}"
                f"{record['seconds']:.1f} s",
            )

        def on_step(done: int, total: int) -> None:
            if not reported:
                resumed = f", resumed after step {done - 1:,}" if done > 1 else ""
                say(errors(), f"{work}: {counted(total, 'step')}, {total // epochs:,} in each epoch{resumed}")
            reported.append(done)
            update(done, total)

        yield {
            "training__on_epoch": on_epoch,
            "training__on_step": on_step,
            "training__checkpoint": progress,
            "training__part_size": part_size,
        }


def warn_of_findings(
    template: Template,
    columns: Sequence[str],
    words: Verbalizer | str | None = None,
    labels: Sequence[str] | None = None,
) -> None:
    """Print the warnings of the linter, apart from those that fitting prints itself."""
    warned = [(placeholder.start, placeholder.end) for placeholder in template.placeholders]
    for finding in lint(template, words, fields=columns, labels=labels):
        if finding.severity == "warning" and (finding.start, finding.end) not in warned:
            warn(f"{finding.message} ({finding.code}); {finding.advice}")


def warn_of_language(model: str, examples: Sequence[Row]) -> None:
    """Warn of Chinese texts for a starter that reads English alone."""
    from softcloze.label_words.label_names import language_of  # slow to import, with torch
    from softcloze.starters import MODELS, STARTER

    starter = MODELS.get(model.removeprefix(STARTER)) if model.startswith(STARTER) else None
    texts = [value for example in examples[:200] for value in example.values() if isinstance(value, str)]
    if starter is not None and starter.language == "English" and language_of(texts) == "zh":
        warn(
            f"{model} reads English, and the texts are Chinese: predictions will be poor; take a model that reads "
            "Chinese, as in --model starter:gemma3-270m"
        )


def save(classifier: "PromptClassifier | ProbeClassifier | PromptEnsemble | PromptGenerator", folder: Path) -> None:
    """Save the prompt; if the disk is full after training, save it elsewhere and raise FileError with that folder."""
    try:
        classifier.save(folder)
    except FileError as error:
        other = Path(tempfile.mkdtemp(prefix=f"{folder.name[:50]}-"))
        try:
            classifier.save(other)
        except FileError:
            raise error from None
        raise FileError(f"{error}; the prompt is saved in {other} instead") from error


def say_training_accuracy(
    bound: "RowPredictor[Any]", examples: Sequence[Row], labels: Sequence[str], folder: Path
) -> None:
    """Score the training rows, and print the accuracy and the folder."""
    predicted = score_rows(bound, examples, len(examples)).predicted
    right = sum(guess == label for guess, label in zip(predicted, labels, strict=True))
    say(
        results(),
        f"training accuracy {right / len(labels):.3f} on {len(labels):,} rows; saved in ",
        plain(folder, "bold"),
    )
