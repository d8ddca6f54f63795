"""softcloze fit: train a prompt on the rows of a file and save it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softcloze.cli.options import (
    CalibrationOption,
    Choice,
    DemonstrationsOption,
    FileArgument,
    HeadOption,
    Kind,
    LabelOption,
    LearningRateOption,
    ModelOption,
    TextOption,
    VerbalizerOption,
    read_verbalizer,
)

if TYPE_CHECKING:
    from softcloze.encoding import Truncation


def fit(
    file: FileArgument,
    template: Annotated[str, typer.Option(help="A template, or the name of one in the library.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to save the prompt.")],
    model: ModelOption = "starter:smollm2-135m",
    verbalizer: VerbalizerOption = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    shots: Annotated[
        int | None, typer.Option(help="Train on so many rows of each class, drawn with the seed; by default on all.")
    ] = None,
    head: HeadOption = Kind.words,
    demonstrations: DemonstrationsOption = Choice.random,
    calibration: CalibrationOption = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training rows, at most.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Rows in one step.")] = 4,
    learning_rate: LearningRateOption = 0.04,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens a prompt may have; by default what the model takes.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the first vectors and the order of rows.")] = 0,
) -> None:
    """Train a soft prompt, a head or both on labelled rows and save the prompt in a folder.

    Without a verbalizer a library template brings its own label words, and for any other template every label
    is its own word.
    """
    from softcloze.cli.console import errors, plain, results, say
    from softcloze.cli.input_files import open_table
    from softcloze.library import resolve_template

    # what may be wrong with the input comes first: the imports below take seconds, and training minutes
    words = read_verbalizer(verbalizer, template)
    parsed = resolve_template(template)
    table = open_table(file)
    examples, labels = table.examples(parsed, text_column), table.labels(label_column)

    from softcloze.classifiers import PromptClassifier
    from softcloze.cli.progress import open_backbone, progress_bar, score_rows
    from softcloze.data import few_shot
    from softcloze.errors import ArtifactError
    from softcloze.prompt import CARD

    if out.exists() and not (out / CARD).is_file():
        raise ArtifactError(f"{out} is there already and holds no prompt; choose another place")
    if shots is not None:
        drawn = few_shot(labels, shots, seed)
        examples, labels = [examples[i] for i in drawn], [labels[i] for i in drawn]

    classifier = PromptClassifier(
        open_backbone(model),
        parsed,
        words,
        head=head.value,
        demonstrations=demonstrations.value,
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

        classifier.on_epoch = on_epoch
        classifier.fit(examples, labels)
    if classifier.truncation_.rows_cut:
        say(errors(), _cuts(classifier.truncation_))
    classifier.save(out)
    predicted = score_rows(classifier, examples, len(examples)).predicted
    right = sum(found == label for found, label in zip(predicted, labels, strict=True))
    say(
        results(),
        f"training accuracy {right / len(labels):.3f} on {len(labels):,} rows; saved in ",
        plain(out, "bold"),
    )


def _cuts(truncation: "Truncation") -> str:
    """What was left out of the training rows because it did not fit."""
    lost = [f"{name}: {count:,} tokens" for name, count in truncation.tokens.items()]
    if truncation.demonstrations:
        lost.append(f"{truncation.demonstrations:,} demonstrations")
    return f"{truncation.rows_cut:,} of {truncation.rows:,} rows were too long and lost something ({', '.join(lost)})"
