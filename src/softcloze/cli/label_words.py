"""softcloze label-words: find label words by the labelled rows of a file."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from softcloze.cli.console import plain, results, say
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.input_files import open_table
from softcloze.cli.options import ESCAPES, FileArgument, LabelOption, ModelOption, TextOption, read_escapes
from softcloze.cli.progress import open_backbone
from softcloze.display import Column, Table, rich_table
from softcloze.errors import CommandError
from softcloze.files import validate_writable, write_text
from softcloze.library import resolve_mask_template
from softcloze.verbalizer import Verbalizer

Ranking = Literal["petal", "lm-bff"]  # the keys of `softcloze.label_words.candidates.RANKINGS`, slow to import


@takes_format
def label_words(
    file: FileArgument,
    template: Annotated[
        str,
        typer.Option(
            callback=read_escapes, help=f"A template without soft slots, or the name of one in the library; {ESCAPES}"
        ),
    ],
    model: ModelOption = "starter:smollm2-135m",
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    shots: Annotated[
        int | None, typer.Option(help="Use this many rows of each class, drawn with the seed; all by default.")
    ] = None,
    method: Annotated[
        Ranking,
        typer.Option(
            help="petal (words likelier in a class than in the others) or lm-bff (words likely in the class)."
        ),
    ] = "petal",
    count: Annotated[int, typer.Option("--words", help="Number of words for each label.")] = 3,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the words to a .toml file for --verbalizer.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the rows of --shots and of the folds of the cross-validation.")
    ] = 0,
    format: FileFormat = PLAIN,
) -> None:
    """Find label words for the labels of a file in the model's vocabulary.

    The words are a suggestion: read them, and edit the file that --out writes.
    """
    if out is not None:
        if out.suffix != ".toml":
            raise CommandError(f"--out writes a .toml file, found {out}")
        validate_writable(out)
    parsed = resolve_mask_template(template)
    table = open_table(file, format)
    examples, labels = table.examples([parsed], text_column), table.labels(label_column, fewest=2)

    from softcloze.data import few_shot  # slow to import, as the next
    from softcloze.label_words import search_label_words

    if shots is not None:
        drawn = few_shot(labels, shots, seed)
        examples, labels = [examples[i] for i in drawn], [labels[i] for i in drawn]
    verbalizer = search_label_words(
        open_backbone(model), parsed, examples, labels, method=method, words=count, random_state=seed
    )
    console = results()
    columns = [
        Column("label", [*map(str, verbalizer.labels)]),
        Column("words", [", ".join(words) for words in verbalizer.words]),
    ]
    console.print(rich_table(Table(columns)))
    if out is not None:
        write_text(out, _card(verbalizer, f"{method} on {len(labels)} rows of {file.name}, {model}", str(parsed)))
        say(console, "saved in ", plain(out, "bold"))


def _card(verbalizer: Verbalizer, source: str, template: str) -> str:
    """The label words as a card for a library; its language is "und", the code of ISO 639 for undetermined."""
    texts = {
        "task": "classification",
        "language": "und",
        "source": f"softcloze label-words: {source}",
        "description": f"Found for the template {template}",
    }
    lines = [f"{key} = {_quoted(text)}" for key, text in texts.items()]
    tables = zip(verbalizer.labels, verbalizer.words, strict=True)
    lines += [
        "",
        "[words]",
        *(f"{_quoted(str(label))} = [{', '.join(map(_quoted, words))}]" for label, words in tables),
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    r"""A string of TOML: one of JSON, with the control character escaped that JSON does not escape.

    >>> print(_quoted('"good"\n\x7f 好'))
    "\"good\"\n\u007f 好"
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
