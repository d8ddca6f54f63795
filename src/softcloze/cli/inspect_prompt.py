"""softcloze inspect-prompt: the vectors of a saved soft prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.input_files import open_table
from softcloze.cli.options import LabelOption, OtherEncoderOption, OtherModelOption, TextOption
from softcloze.cli.saved import Saved
from softcloze.errors import CommandError
from softcloze.formatting import one_line
from softcloze.prompt.card import PromptCard
from softcloze.prompt.probe_card import ProbeCard
from softcloze.verbalizer import Label

if TYPE_CHECKING:
    from softcloze.classifiers import PromptClassifier
    from softcloze.cli.delimited import Row
    from softcloze.prompt import BoundEnsemble

WITH_LINEAR_LAYER = ("linear", "words+linear")


@takes_format
def inspect_prompt(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of a saved prompt, probe, ensemble or generator.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled rows for the measurements: a file, -, or hf:NAME."),
    ] = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    words: Annotated[int, typer.Option(help="Number of nearest words to show for each vector.")] = 3,
    model: OtherModelOption = None,
    encoder: OtherEncoderOption = None,
    format: FileFormat = PLAIN,
) -> None:
    """Show the words nearest to the vectors of a soft prompt, and how far training moved them.

    Vectors at later layers are shown with their length at each, and of those that depend on a field what all examples
    share. With --data, also measure how far the fields of the rows move them, the prompt without each vector, and with
    the nearest words instead of the vectors; use rows that it was not trained on. A prompt with --head linear or
    words+linear shows the parts of its words and its linear layer as well. Of an ensemble each member is shown in
    turn, and with --data the part of each in the label scores first. A generator is shown without --data, which
    measures label scores.
    """
    saved = Saved.read(folder)
    if saved.writes:
        if data is not None:
            raise CommandError(
                f"--data measures label scores, and {folder} writes text; softcloze evaluate measures it"
            )
        from softcloze.analysis import inspect_soft
        from softcloze.classifiers import PromptGenerator

        results().print(inspect_soft(PromptGenerator.load(saved.folder, saved.open_backbone(model)), words))
        return
    examples, labels = None, None
    if data is not None:
        table = open_table(data, format)
        examples = table.examples(saved.templates, text_column)
        known = {str(label): label for label in saved.labels}
        labels = [known.get(label, label) for label in table.labels(label_column)]

    from softcloze.analysis import member_shares
    from softcloze.classifiers import PromptClassifier

    backbone = saved.open_backbone(model) if saved.model is not None else None
    if saved.is_ensemble and examples is not None:
        with errors().status("measuring the parts of the members"):
            shares = member_shares(cast("BoundEnsemble", saved.bind(backbone, encoder)), examples)
        results().print(shares)
    for number, member in enumerate(saved.members, start=1):
        head = member.entries["head"] if isinstance(member, PromptCard) else "linear"
        if saved.is_ensemble:
            title = f"member {number} of {len(saved.members)}, head {head}: "
            say(results(), title, plain(one_line(member.description)))
        if isinstance(member, ProbeCard):
            say(results(), "a linear layer on sentence embeddings, without a prompt")
            continue
        if saved.is_ensemble and not member.template.blocks and (examples is None or head not in WITH_LINEAR_LAYER):
            say(results(), "no soft vectors" + ("; --data measures its head" * (head in WITH_LINEAR_LAYER)))
            continue
        _show(PromptClassifier.load(member.folder, backbone), words, examples, labels)


def _show(
    classifier: "PromptClassifier", words: int, examples: "list[Row] | None", labels: Sequence[Label] | None
) -> None:
    """Print the findings about one prompt."""
    from softcloze.analysis import delete_vectors, field_effects, harden, head_shares, inspect_soft

    console = results()
    if examples is not None and classifier.prompt_.head in WITH_LINEAR_LAYER:
        with errors().status("measuring the parts of the head"):
            shares = head_shares(classifier, examples)
        console.print(shares)
        if not classifier.prompt_.template.blocks:
            return
    console.print(inspect_soft(classifier, words))
    dependent = [block for block in classifier.prompt_.template.blocks if block.from_ is not None]
    if dependent and examples is not None:
        with errors().status("measuring what fields change"):
            effects = field_effects(classifier, examples)
        console.print(effects)
    if examples is not None and labels is not None:
        with errors().status("measuring without each vector"):
            deletions = delete_vectors(classifier, examples, labels)
        console.print(deletions)
    if dependent:
        say(console, "nearest words as text: none, since vectors with from= are others for each example")
        return
    with errors().status("measuring the nearest words"):
        hard = harden(classifier, examples, labels)
    console.print(hard)
