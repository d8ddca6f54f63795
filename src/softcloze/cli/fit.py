"""softcloze fit: train a prompt on labelled rows and save it."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softcloze.cli.console import errors, plain, results, say, warn
from softcloze.cli.input_files import open_table
from softcloze.cli.options import (
    CalibrationOption,
    ChatOptionsOption,
    ClassWeightOption,
    DemonstrationsOption,
    FeaturesOption,
    FileArgument,
    HeadOption,
    LabelOption,
    LearningRateOption,
    ModelOption,
    TemplateOption,
    TextOption,
    VerbalizerOption,
    WeightOption,
    known_labels,
    read_chat_options,
    read_class_weight,
    read_verbalizer,
)
from softcloze.cli.progress import open_backbone, score_rows, show_progress
from softcloze.errors import CommandError, FileError
from softcloze.files import validate_writable
from softcloze.formatting import counted, quoted_list
from softcloze.library import resolve_template
from softcloze.lint import lint
from softcloze.prompt.card import CARD, PROMPT

if TYPE_CHECKING:
    from softcloze.classifiers import PromptClassifier


def fit(
    file: FileArgument,
    template: TemplateOption,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the saved prompt, which replaces an earlier one there.")
    ],
    model: ModelOption = "starter:smollm2-135m",
    verbalizer: VerbalizerOption = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    shots: Annotated[
        int | None, typer.Option(help="Training rows of each class, drawn with the seed; by default all.")
    ] = None,
    head: HeadOption = "words",
    features: FeaturesOption = "mask",
    demonstrations: DemonstrationsOption = "random",
    calibration: CalibrationOption = None,
    epochs: Annotated[int, typer.Option(help="Most passes over the training rows.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Rows per training step.")] = 4,
    learning_rate: LearningRateOption = 0.04,
    class_weight: ClassWeightOption = None,
    weight_column: WeightOption = None,
    max_length: Annotated[
        int | None, typer.Option(help="Longest prompt in tokens; by default the model's limit.")
    ] = None,
    chat_options: ChatOptionsOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the initial vectors and of the order of rows.")] = 0,
) -> None:
    """Train a soft prompt, a head or both on labelled rows and save the prompt in a folder.

    Without --verbalizer, a library template uses its own label words; with any other template every label is its
    own word. Run the same command again to resume after an interruption.
    """
    # mistakes in the input are reported first: the imports below take seconds, and training minutes
    words = read_verbalizer(verbalizer, template)
    options = read_chat_options(chat_options)
    parsed = resolve_template(template)
    table = open_table(file)
    labels = table.labels(label_column, known_labels(words), fewest=2)
    examples = table.examples(parsed, text_column)
    by_class = read_class_weight(class_weight)
    if isinstance(by_class, dict) and (unknown := {*by_class} - {*labels, *(known_labels(words) or ())}):
        raise CommandError(
            f"--class-weight has {min(map(str, unknown))!r}, and the labels are {quoted_list(sorted({*labels}))}"
        )
    weights = table.weights(weight_column) if weight_column is not None else None

    warned = [(placeholder.start, placeholder.end) for placeholder in parsed.placeholders]  # by fit itself
    for finding in lint(parsed, words, fields=table.columns, labels=labels):
        if finding.severity == "warning" and (finding.start, finding.end) not in warned:
            warn(f"{finding.message} ({finding.code}); {finding.advice}")
    folder = PROMPT.validate_target(out)
    progress = _progress_folder(folder)
    validate_writable(progress, folder=True)
    if shots is not None:
        from softcloze.data import few_shot

        drawn = few_shot(labels, shots, seed)
        examples, labels = [examples[i] for i in drawn], [labels[i] for i in drawn]
        weights = [weights[i] for i in drawn] if weights is not None else None

    from softcloze.classifiers import PromptClassifier
    from softcloze.prompt import BoundPrompt
    from softcloze.training import TrainingSettings

    classifier = PromptClassifier(
        open_backbone(model),
        parsed,
        words,
        head=head,
        features=features,
        demonstrations=demonstrations,
        calibration=calibration.value if calibration is not None else None,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weight=by_class,
        max_length=max_length,
        chat_options=options,
        random_state=seed,
    )
    work, reported_steps = f"training on {len(examples):,} rows", list[int]()

    def on_epoch(record: dict[str, Any]) -> None:
        say(
            errors(),
            f"epoch {record['epoch']:>{len(str(epochs))}} of {epochs}   loss {record['loss']:.3f}   "
            f"accuracy {record['accuracy']:.3f}   {record['seconds']:.1f} s",
        )

    with _explain_interruption(folder, progress):
        with show_progress(work, None) as update:

            def on_step(done: int, total: int) -> None:
                if not reported_steps:
                    resumed = f", resumed after step {done - 1:,}" if done > 1 else ""
                    say(errors(), f"{work}: {counted(total, 'step')}, {total // epochs:,} in each epoch{resumed}")
                reported_steps.append(done)
                update(done, total)

            training = TrainingSettings(on_epoch=on_epoch, on_step=on_step, checkpoint=progress)
            classifier.set_params(training=training).fit(examples, labels, weights)
        if hasattr(classifier, "exact_"):
            least = classifier.exact_.log_losses[classifier.exact_.strengths == classifier.exact_.strength]
            say(
                errors(),
                f"linear layer of L2 strength {classifier.exact_.strength:.2g}: log loss {least[0]:.3f} nats on "
                "rows left out in cross-validation",
            )
        _save(classifier, folder)
        for finding in classifier.check().findings:
            if finding.code == "one-sided":
                warn(f"{finding.message}; {finding.advice}")
        with suppress(OSError):  # the progress of another fit stays
            progress.rmdir()
        predicted = score_rows(BoundPrompt(classifier.prompt_, classifier.backbone_), examples, len(examples)).predicted
    right = sum(guess == label for guess, label in zip(predicted, labels, strict=True))
    say(
        results(),
        f"training accuracy {right / len(labels):.3f} on {len(labels):,} rows; saved in ",
        plain(out, "bold"),
    )


def _progress_folder(folder: Path) -> Path:
    """The folder for the progress of the fit: beside the prompt's folder, or inside it if that exists already."""
    # the parent of a folder that exists may be read-only, as that of a mounted one
    return folder / ".fit.part" if folder.is_dir() else folder.with_name(f"{folder.name}.part")


@contextmanager
def _explain_interruption(folder: Path, progress: Path) -> Iterator[None]:
    """Say after an interruption, by Ctrl-C or SIGTERM, what is kept and how to resume."""

    def terminate(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before, handler = _time_of_change(folder / CARD), signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if _time_of_change(folder / CARD) != before:
            say(errors(), "interrupted: the prompt is saved in ", plain(folder))
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


def _save(classifier: "PromptClassifier", folder: Path) -> None:
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
