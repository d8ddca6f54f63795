"""Results as lines and tables: in the terminal, as plain text and as HTML.

A result class derives from `Displayable` and gives its lines and tables in `content()`; `print`, `rich.print` and
notebooks then show it. Commands that print tables of their own use `rich_table`. All text may come from outside: the
renderers escape it. rich and jinja2 are imported when something is rendered.
"""

from softcloze.display.blocks import Block, Cell, Choice, Column, Line, Preformatted, SimpleBlock, Styled, Table
from softcloze.display.displayable import Displayable
from softcloze.display.html import as_html, html_environment
from softcloze.display.numbers import change, fixed, named, percent
from softcloze.display.terminal import rich_table, table_width

__all__ = [
    "Block",
    "Cell",
    "Choice",
    "Column",
    "Displayable",
    "Line",
    "Preformatted",
    "SimpleBlock",
    "Styled",
    "Table",
    "as_html",
    "change",
    "fixed",
    "html_environment",
    "named",
    "percent",
    "rich_table",
    "table_width",
]
