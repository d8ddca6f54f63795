"""Render blocks as HTML, by Jinja, which is imported when something is rendered."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from softcloze.display.blocks import (
    Block,
    Cell,
    Choice,
    Column,
    Preformatted,
    SimpleBlock,
    Styled,
    Table,
    lines_of,
    pieces_of,
)
from softcloze.formatting import one_line, visible

if TYPE_CHECKING:
    from jinja2 import Environment


def as_html(blocks: Sequence[Block]) -> str:
    """Render lines and tables as an HTML fragment that needs no other file.

    >>> html = as_html([("1 & ", Styled("2", "bold"))])
    >>> html[html.index("<p>"):].split("</p>")[0]
    '<p>1 &amp; <strong lang="">2</strong>'
    """
    layout: list[SimpleBlock] = []
    for block in blocks:
        layout += block.layouts[0] if isinstance(block, Choice) else [block]
    template = html_environment().get_template("display/fragment.html")
    return template.render(blocks=[_html_block(block) for block in layout])


@cache
def html_environment() -> "Environment":
    """The Jinja environment of all HTML: it escapes every text and raises at names that are not defined.

    Templates are files of this package.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("softcloze", "")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, loader=loader)
    environment.filters |= {"one_line": one_line, "visible": visible}
    return environment


class _HtmlCell(NamedTuple):
    lines: list[list[Styled]]
    is_number: bool
    rowspan: int


def _html_block(block: SimpleBlock) -> dict[str, object]:
    """Values for the Jinja template of the fragment."""
    match block:
        case Table(columns, title, caption):
            count = len(columns[0].cells)
            return {
                "title": pieces_of(title) if title else [],
                "caption": pieces_of(caption) if caption else [],
                "heading": [_HtmlCell(_html_lines(column.name), column.is_number, 1) for column in columns],
                "rows": [
                    [_html_cell(column, row) for column in columns if column.cells[row] is not None]
                    for row in range(count)
                ],
            }
        case Preformatted(text):
            return {"preformatted": text}
        case _:
            return {"line": pieces_of(block)}


def _html_cell(column: Column, row: int) -> _HtmlCell:
    end = row + 1
    while end < len(column.cells) and column.cells[end] is None:
        end += 1
    return _HtmlCell(_html_lines(column.cells[row]), column.is_number, end - row)


def _html_lines(cell: Cell) -> list[list[Styled]]:
    return [pieces_of(line) for line in lines_of(cell)]
