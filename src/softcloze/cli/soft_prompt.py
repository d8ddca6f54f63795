"""softcloze look: what is in a saved soft prompt."""

from pathlib import Path
from typing import Annotated

import typer

from softcloze.cli.options import LabelOption, OtherModelOption, TextOption


def look(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that fit wrote.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled rows to measure on: a .csv, .tsv, .jsonl or .parquet file."),
    ] = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    words: Annotated[int, typer.Option(help="Words to name that are nearest to each vector.")] = 3,
    model: OtherModelOption = None,
) -> None:
    """Look into a trained soft prompt: the words that its vectors are nearest to, and how far training moved them.

    With --data also how much worse the prompt does without each vector, and how well the words do in their place; use
    other rows than it was trained on. docs/soft-prompts.md says what one can conclude.
    """
    from softcloze.cli.console import errors, results
    from softcloze.cli.input_files import open_table
    from softcloze.prompt import Prompt

    saved = Prompt.load(folder)
    examples, labels = None, None
    if data is not None:
        table = open_table(data)
        examples = table.examples(saved.template, text_column)
        known = {str(label): label for label in saved.verbalizer.labels}
        labels = [known.get(label, label) for label in table.labels(label_column)]

    from softcloze.analysis import delete_vectors, harden, inspect_soft
    from softcloze.cli.progress import open_classifier

    classifier = open_classifier(folder, model)
    console = results()
    console.print(inspect_soft(classifier, words))
    if examples is not None and labels is not None:
        with errors().status("measuring without each vector"):
            deletions = delete_vectors(classifier, examples, labels)
        console.print(deletions)
    with errors().status("measuring the nearest words"):
        hard = harden(classifier, examples, labels)
    console.print(hard)
