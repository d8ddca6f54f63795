"""softcloze fit: train a prompt on labelled rows and save it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.input_files import open_table
from softcloze.cli.options import (
    CalibrationOption,
    DemonstrationsOption,
    FileArgument,
    HeadOption,
    LabelOption,
    LearningRateOption,
    ModelOption,
    TextOption,
    VerbalizerOption,
    known_labels,
    read_verbalizer,
)
from softcloze.cli.progress import open_backbone, progress_bar, score_rows
from softcloze.files import validate_replaceable, validate_writable
from softcloze.library import resolve_template
from softcloze.prompt.card import CARD

if TYPE_CHECKING:
    pass


def fit(
    file: FileArgument,
    template: Annotated[str, typer.Option(help="A template, or its name in the library.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the saved prompt.")],
    model: ModelOption = "starter:smollm2-135m",
    verbalizer: VerbalizerOption = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    shots: Annotated[
        int | None, typer.Option(help="Training rows of each class, drawn with the seed; by default all.")
    ] = None,
    head: HeadOption = "words",
    demonstrations: DemonstrationsOption = "random",
    calibration: CalibrationOption = None,
    epochs: Annotated[int, typer.Option(help="Most passes over the training rows.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Rows per training step.")] = 4,
    learning_rate: LearningRateOption = 0.04,
    max_length: Annotated[
        int | None, typer.Option(help="Longest prompt in tokens; by default the model's limit.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the initial vectors and of the order of rows.")] = 0,
) -> None:
    """Train a soft prompt, a head or both on labelled rows and save the prompt in a folder.

    Without --verbalizer, a library template uses its own label words; with any other template every label is its
    own word.
    """
    # mistakes in the input are reported first: the imports below take seconds, and training minutes
    words = read_verbalizer(verbalizer, template)
    parsed = resolve_template(template)
    table = open_table(file)
    labels = table.labels(label_column, known_labels(words), fewest=2)
    examples = table.examples(parsed, text_column)

    validate_replaceable(out, CARD, "a saved prompt")
    validate_writable(out, folder=True)
    if shots is not None:
        from softcloze.data import few_shot

        drawn = few_shot(labels, shots, seed)
        examples, labels = [examples[i] for i in drawn], [labels[i] for i in drawn]

    from softcloze.classifiers import PromptClassifier
    from softcloze.prompt import BoundPrompt
    from softcloze.training import TrainingSettings

    classifier = PromptClassifier(
        open_backbone(model),
        parsed,
        words,
        head=head,
        demonstrations=demonstrations,
        calibration=calibration.value if calibration is not None else None,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_length=max_length,
        random_state=seed,
    )
    with progress_bar() as progress:
        task = progress.add_task(f"training on {len(examples):,} rows", total=epochs)

        def on_epoch(record: dict[str, Any]) -> None:
            say(
                errors(),
                f"epoch {record['epoch']:>{len(str(epochs))}} of {epochs}   loss {record['loss']:.3f}   "
                f"accuracy {record['accuracy']:.3f}   {record['seconds']:.1f} s",
            )
            progress.update(task, completed=record["epoch"])

        classifier.set_params(training=TrainingSettings(on_epoch=on_epoch)).fit(examples, labels)
    classifier.save(out)
    predicted = score_rows(BoundPrompt(classifier.prompt_, classifier.backbone_), examples, len(examples)).predicted
    right = sum(guess == label for guess, label in zip(predicted, labels, strict=True))
    say(
        results(),
        f"training accuracy {right / len(labels):.3f} on {len(labels):,} rows; saved in ",
        plain(out, "bold"),
    )
