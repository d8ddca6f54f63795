"""softcloze templates: the templates of the library and their label words."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from softcloze.library import TemplateCard, VerbalizerCard


def templates(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this template of the library and its label words.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="List those for one task, as in topic.")] = None,
    language: Annotated[str | None, typer.Option(help="List those in one language, as in zh.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="List those of one kind: hard (words alone), soft, mixed or in-context.")
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Look in this library of your own as well, and in it first: FOLDER/templates/TASK/NAME.toml and "
            "FOLDER/verbalizers/TASK/NAME.toml.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the templates that go by name, or show one of them.

    Use a name wherever a command takes a template. The environment variable SOFTCLOZE_LIBRARY names folders with
    templates of your own for all commands.
    """
    import json

    from rich.text import Text

    from softcloze.cli.console import results
    from softcloze.errors import CommandError
    from softcloze.library import list_templates, load_template, load_verbalizer

    wanted = {
        key: value for key, value in (("task", task), ("language", language), ("kind", kind)) if value is not None
    }
    if name is not None and wanted:
        raise CommandError(f"--{next(iter(wanted))} chooses among all templates; leave it out to show {name}")
    names = list_templates(library) if name is None else [name]
    cards = _chosen([load_template(each, library) for each in names], wanted)
    if as_json:
        listed = [_fields_of(card, load_verbalizer(card.verbalizer, library)) for card in cards]
        typer.echo(json.dumps(listed if name is None else listed[0], indent=2))  # in ASCII: any terminal has it
        return
    console = results()
    if name is None:
        console.print(card_table(cards))
        return
    for part in card_view(cards[0], load_verbalizer(cards[0].verbalizer, library)):
        console.print(part, soft_wrap=isinstance(part, Text))


def card_table(cards: "Sequence[TemplateCard]") -> "RenderableType":
    """Templates, one a row, with a gap between two tasks."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from softcloze.cli.console import plain

    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("template", no_wrap=True)
    shown.add_column("kind", no_wrap=True)
    shown.add_column("what it is")
    task = None
    for card in cards:
        if task not in (None, card.task):
            shown.add_section()
        task = card.task
        what = Text("\n").join([plain(card.description), plain(_facts(card), "dim"), *_own(card)])
        shown.add_row(plain(card.name, "bold"), card.kind, what)
    return shown


def card_view(card: "TemplateCard", words: "VerbalizerCard") -> "Iterator[RenderableType]":
    """One template: its card, its nodes and its label words."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from softcloze.cli.console import plain
    from softcloze.cli.inspect_render import node_table

    yield Text.assemble(plain(card.name, "bold"), f", {card.kind}")
    yield plain(card.description)
    yield plain(_facts(card), "dim")
    yield plain(f"source: {card.source}", "dim")
    yield from _own(card)
    yield node_table(card.template)
    yield Text.assemble("label words ", plain(words.name, "bold"))
    yield plain(words.description)
    yield plain(f"source: {words.source}", "dim")
    yield from _own(words)
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("label")
    shown.add_column("words")
    for label, listed in words.words.items():
        shown.add_row(plain(label), plain(", ".join(listed)))
    yield shown


def _chosen(cards: "list[TemplateCard]", wanted: dict[str, str]) -> "list[TemplateCard]":
    """The cards that have all wanted values."""
    from softcloze.errors import CommandError
    from softcloze.formatting import did_you_mean

    for key, value in wanted.items():
        there_are = sorted({getattr(card, key) for card in cards})
        if value not in there_are:
            raise CommandError(
                f"no template has the {key} {value!r}; there are {', '.join(there_are)}{did_you_mean(value, there_are)}"
            )
    chosen = [card for card in cards if all(getattr(card, key) == value for key, value in wanted.items())]
    if not chosen:
        raise CommandError(f"no template has the {' and the '.join(f'{k} {v!r}' for k, v in wanted.items())}")
    return chosen


def _fields_of(card: "TemplateCard", words: "VerbalizerCard") -> dict[str, Any]:
    return {
        "name": card.name,
        "task": card.task,
        "language": card.language,
        "kind": card.kind,
        "template": str(card.template),
        "fields": card.fields,
        "verbalizer": card.verbalizer,
        "words": words.words,
        "source": card.source,
        "description": card.description,
        "file": None if card.file is None else str(card.file),
        "replaces": card.replaces,
    }


def _facts(card: "TemplateCard") -> str:
    fields = "field" if len(card.fields) == 1 else "fields"
    return f"{card.task}, {card.language}; {fields} {', '.join(card.fields)}; label words {card.verbalizer}"


def _own(card: "TemplateCard | VerbalizerCard") -> "list[Text]":
    """Where a card of the user's own is, and whether it hides one of ours."""
    from softcloze.cli.console import plain

    if card.file is None:
        return []
    replaces = ", in place of the one that comes with softcloze" if card.replaces else ""
    return [plain(f"your own: {card.file}{replaces}", "yellow")]
