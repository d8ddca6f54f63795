"""softcloze inspect-prompt: the vectors of a saved soft prompt."""

from pathlib import Path
from typing import Annotated

import typer

from softcloze.cli.console import errors, results
from softcloze.cli.input_files import open_table
from softcloze.cli.options import LabelOption, OtherModelOption, TextOption
from softcloze.cli.progress import open_backbone
from softcloze.prompt.card import PromptCard


def inspect_prompt(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a saved prompt.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled rows for the measurements: a .csv, .tsv, .jsonl or .parquet file."),
    ] = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    words: Annotated[int, typer.Option(help="Number of nearest words to show for each vector.")] = 3,
    model: OtherModelOption = None,
) -> None:
    """Show the words nearest to the vectors of a soft prompt, and how far training moved them.

    With --data, also measure the prompt without each vector, and with the nearest words instead of the vectors; use
    rows that it was not trained on. docs/how-to/look-inside.md explains the conclusions. With --data, a prompt with
    --head linear or words+linear shows the parts of its words and its linear layer as well.
    """
    saved = PromptCard.load(folder)
    examples, labels = None, None
    if data is not None:
        table = open_table(data)
        examples = table.examples(saved.template, text_column)
        known = {str(label): label for label in saved.verbalizer.labels}
        labels = [known.get(label, label) for label in table.labels(label_column)]

    from softcloze.analysis import delete_vectors, harden, head_shares, inspect_soft
    from softcloze.classifiers import PromptClassifier

    classifier = PromptClassifier.load(folder, open_backbone(model if model is not None else saved.model))
    console = results()
    if examples is not None and saved.entries["head"] in ("linear", "words+linear"):
        with errors().status("measuring the parts of the head"):
            shares = head_shares(classifier, examples)
        console.print(shares)
        if not saved.template.blocks:
            return
    console.print(inspect_soft(classifier, words))
    if examples is not None and labels is not None:
        with errors().status("measuring without each vector"):
            deletions = delete_vectors(classifier, examples, labels)
        console.print(deletions)
    with errors().status("measuring the nearest words"):
        hard = harden(classifier, examples, labels)
    console.print(hard)
