"""softcloze words: find label words in the rows of a file."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softcloze.cli.options import FileArgument, LabelOption, ModelOption, TextOption

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from softcloze.verbalizer import Verbalizer


class Ranking(StrEnum):
    """How a label orders its words: `softcloze.label_words.candidates.METHODS`, which is slow to import."""

    petal = "petal"
    lm_bff = "lm-bff"


def words(
    file: FileArgument,
    template: Annotated[str, typer.Option(help="A template without soft slots, or the name of one in the library.")],
    model: ModelOption = "starter:smollm2-135m",
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    shots: Annotated[
        int | None, typer.Option(help="Search in so many rows of each class, drawn with the seed; by default in all.")
    ] = None,
    method: Annotated[
        Ranking,
        typer.Option(help="petal (words likelier in a class than in the others) or lm-bff (words likely in it)."),
    ] = Ranking.petal,
    count: Annotated[int, typer.Option("--words", help="Words for each label.")] = 3,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them to a .toml file, which --verbalizer takes.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the rows of --shots and the folds of the cross-validation.")] = 0,
) -> None:
    """Find words of the model's vocabulary that can stand for the labels of a file.

    The words are a suggestion: read them, and change the file that --output writes as you like.
    """
    from softcloze.cli.console import plain, results, say
    from softcloze.cli.input_files import open_table
    from softcloze.errors import CommandError
    from softcloze.library import resolve_template

    if output is not None and output.suffix != ".toml":
        raise CommandError(f"--output writes a .toml file, found {output}")
    parsed = resolve_template(template)
    table = open_table(file)
    examples, labels = table.examples(parsed, text_column), table.labels(label_column)

    from softcloze.cli.progress import open_backbone
    from softcloze.data import few_shot
    from softcloze.label_words import search_label_words

    if shots is not None:
        drawn = few_shot(labels, shots, seed)
        examples, labels = [examples[i] for i in drawn], [labels[i] for i in drawn]
    found = search_label_words(
        open_backbone(model), parsed, examples, labels, method=method.value, words=count, random_state=seed
    )
    console = results()
    console.print(_word_table(found))
    if output is not None:
        _write(output, _card(found, f"{method.value} on {len(labels)} rows of {file.name}, {model}", str(parsed)))
        say(console, "saved in ", plain(output, "bold"))


def _word_table(verbalizer: "Verbalizer") -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable

    from softcloze.cli.console import plain

    shown = RichTable(box=box.SIMPLE_HEAD)
    shown.add_column("label")
    shown.add_column("words")
    for label, own in zip(verbalizer.labels, verbalizer.words, strict=True):
        shown.add_row(plain(label), plain(", ".join(own)))
    return shown


def _card(verbalizer: "Verbalizer", source: str, template: str) -> str:
    """The label words as a card that a library of the user's own may hold.

    The language is "und", which is ISO 639's code where nobody has said which.
    """
    texts = {
        "task": "classification",
        "language": "und",
        "source": f"softcloze words: {source}",
        "description": f"Found for the template {template}",
    }
    lines = [f"{key} = {_quoted(text)}" for key, text in texts.items()]
    tables = zip(verbalizer.labels, verbalizer.words, strict=True)
    lines += ["", "[words]", *(f"{_quoted(str(label))} = [{', '.join(map(_quoted, own))}]" for label, own in tables)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    r"""A string of TOML: one of JSON, but for the control character that JSON leaves as it is.

    >>> print(_quoted('"good"\n\x7f 好'))
    "\"good\"\n\u007f 好"
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str) -> None:
    from softcloze.errors import FileError
    from softcloze.files import replacing_file

    path = path.expanduser()
    try:
        with replacing_file(path) as draft:
            # a lone surrogate, which neither UTF-8 nor TOML can hold, becomes a question mark
            draft.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
