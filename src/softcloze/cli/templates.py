"""softcloze templates: the templates of the library and their label words."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from softcloze.cli.console import plain, results
from softcloze.cli.inspect_render import node_table
from softcloze.display import Column, Styled, Table, rich_table
from softcloze.errors import CommandError
from softcloze.formatting import abbreviate, did_you_mean
from softcloze.library import TemplateCard, VerbalizerCard, list_templates, load_template, load_verbalizer


def templates(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this template and its label words.")] = None,
    task: Annotated[str | None, typer.Option(help="List the templates for one task, as in topic.")] = None,
    language: Annotated[str | None, typer.Option(help="List the templates in one language, as in zh.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="List the templates of one kind: hard (words only), soft, mixed or in-context.")
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Your own library, which goes before the shipped one: FOLDER/templates/TASK/NAME.toml and "
            "FOLDER/verbalizers/TASK/NAME.toml.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the templates of the library, or show one of them.

    Every command that takes a template takes a name of the library too. The environment variable SOFTCLOZE_LIBRARY
    adds folders with your own templates for all commands.
    """
    wanted = {
        key: value for key, value in (("task", task), ("language", language), ("kind", kind)) if value is not None
    }
    if name is not None and wanted:
        raise CommandError(f"--{next(iter(wanted))} chooses among all templates; leave it out to show {name}")
    names = list_templates(library) if name is None else [name]
    cards = _chosen([load_template(listed, library) for listed in names], wanted)
    if as_json:
        listed = [_fields_of(card, load_verbalizer(card.verbalizer, library)) for card in cards]
        typer.echo(json.dumps(listed if name is None else listed[0], indent=2))  # in ASCII: any terminal has it
        return
    console = results()
    if name is None:
        console.print(rich_table(card_table(cards, console.width)))
        return
    for part in card_view(cards[0], load_verbalizer(cards[0].verbalizer, library)):
        console.print(part, soft_wrap=isinstance(part, Text))


def card_table(cards: Sequence[TemplateCard], width: int) -> Table:
    """A line of `width` cells for each template, more for a user's own, and a gap between two tasks."""
    last_of_task = [i for i in range(len(cards) - 1) if cards[i].task != cards[i + 1].task]
    names, kinds = [card.name for card in cards], [card.kind for card in cards]
    left = max(20, width - max(map(len, names)) - max(map(len, kinds)) - 10)  # beside margins
    return Table(
        [
            Column("template", [Styled(name, "bold") for name in names], wrap="never"),
            Column("kind", kinds, wrap="never"),
            Column("description", [[abbreviate(card.description, left), *_own(card)] for card in cards]),
        ],
        sections=last_of_task,
    )


def card_view(card: TemplateCard, words: VerbalizerCard) -> Iterator[RenderableType]:
    """One template: its card, the string to copy, its nodes and its label words."""
    yield Text.assemble(plain(card.name, "bold"), f", {card.kind}")
    yield plain(card.description)
    yield plain(repr(str(card.template)), "bold")
    yield plain(_facts(card), "dim")
    yield plain(f"source: {card.source}", "dim")
    yield from (plain(line.text, line.style) for line in _own(card))
    yield rich_table(node_table(card.template))
    yield Text.assemble("label words ", plain(words.name, "bold"))
    yield plain(words.description)
    yield plain(f"source: {words.source}", "dim")
    yield from (plain(line.text, line.style) for line in _own(words))
    listed = [", ".join(label_words) for label_words in words.words.values()]
    yield rich_table(Table([Column("label", list(words.words)), Column("words", listed)]))


def _chosen(cards: list[TemplateCard], wanted: dict[str, str]) -> list[TemplateCard]:
    """The cards that have all wanted values."""
    for key, value in wanted.items():
        known = sorted({getattr(card, key) for card in cards})
        if value not in known:
            raise CommandError(
                f"no template has the {key} {value!r}; there are {', '.join(known)}{did_you_mean(value, known)}"
            )
    chosen = [card for card in cards if all(getattr(card, key) == value for key, value in wanted.items())]
    if not chosen:
        raise CommandError(f"no template has the {' and the '.join(f'{k} {v!r}' for k, v in wanted.items())}")
    return chosen


def _fields_of(card: TemplateCard, words: VerbalizerCard) -> dict[str, Any]:
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


def _facts(card: TemplateCard) -> str:
    fields = "field" if len(card.fields) == 1 else "fields"
    return f"{card.task}, {card.language}; {fields} {', '.join(card.fields)}; label words {card.verbalizer}"


def _own(card: TemplateCard | VerbalizerCard) -> list[Styled]:
    """The file of a user's own card, and whether it replaces a shipped one."""
    if card.file is None:
        return []
    replaces = ", in place of the one that comes with softcloze" if card.replaces else ""
    return [Styled(f"your own: {card.file}{replaces}", "yellow")]
