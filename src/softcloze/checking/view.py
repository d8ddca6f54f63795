"""Checked label words in the terminal, as plain text and as HTML."""

import io
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from softcloze.checking.check import CheckedWord, VerbalizerCheck
from softcloze.explanation.spelling import one_line
from softcloze.explanation.view import percent
from softcloze.template.finding import STYLES, Finding

WIDTH = 120  # cells of plain text


class Column(NamedTuple):
    """A column of the table: its heading and a cell for each line."""

    name: str
    cells: list[str]
    is_number: bool = False


def columns(checked: VerbalizerCheck) -> list[Column]:
    """The columns that have something to show; a label stands beside the first of its words, or has a line alone."""
    own = [[word for word in checked.words if word.label == label] for label in checked.labels]
    first = [line for words in own for line in (True, *[False] * (len(words) - 1))]
    words: list[CheckedWord | None] = [word for words in own for word in (*words,) or (None,)]

    def beside(texts: list[str]) -> list[str]:
        left = iter(texts)
        return [next(left) if is_first else "" for is_first in first]

    shown = [Column("label", beside([one_line(label) for label in checked.labels]))]
    if checked.priors is not None:
        shown.append(Column("prior", beside([percent(prior) for prior in checked.priors]), is_number=True))
    if any(word.mask is not None for word in checked.words):
        shown.append(Column("mask", ["" if word is None else one_line(word.mask) for word in words]))
    shown.append(Column("word", ["" if word is None else one_line(word.word) for word in words]))
    if any(word.weight != 1 for word in checked.words):
        shown.append(Column("weight", ["" if word is None else f"{word.weight:g}" for word in words], is_number=True))
    shown.append(Column("tokens", ["" if word is None else one_line(" ".join(word.tokens)) for word in words]))
    if checked.priors is not None:
        priors = ["" if word is None or word.prior is None else percent(word.prior) for word in words]
        shown.append(Column("prior of the word", priors, is_number=True))
    return shown


def as_text(checked: VerbalizerCheck) -> str:
    """The table and the findings as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(checked)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def as_rich(checked: VerbalizerCheck) -> RenderableType:
    """The table, and the findings below."""
    found = [Text(_printed(finding), STYLES[finding.severity]) for finding in checked.findings]
    return Group(word_table(checked), *(found or [Text("nothing found")]))


def as_html(checked: VerbalizerCheck) -> str:
    """The same as a piece of HTML that needs nothing else; all text in it is escaped."""
    shown = columns(checked)
    lines = zip(*(column.cells for column in shown), strict=True)
    return _fragment().render(columns=shown, lines=lines, findings=[*map(_printed, checked.findings)])


def word_table(checked: VerbalizerCheck) -> Table:
    """The label words with what a tokenizer, and perhaps a model, makes of them."""
    shown = Table(box=box.SIMPLE_HEAD)
    for column in columns(checked):
        if column.is_number:
            shown.add_column(column.name, justify="right", no_wrap=True)
        else:
            shown.add_column(column.name, overflow="fold")
    for line in zip(*(column.cells for column in columns(checked)), strict=True):
        shown.add_row(*map(Text, line))
    return shown


def _printed(finding: Finding) -> str:
    """A finding whose words from outside are fit for a terminal, as its picture of the place is already."""
    return str(replace(finding, message=one_line(finding.message), advice=one_line(finding.advice)))


@cache
def _fragment() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(files("softcloze.checking").joinpath("fragment.html").read_text(encoding="utf-8"))
