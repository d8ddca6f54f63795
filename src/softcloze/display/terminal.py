"""Render blocks in the terminal and as plain text, by rich, which is imported when something is rendered."""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from softcloze.display.blocks import Block, Cell, Choice, Column, Preformatted, Table, lines_of, pieces_of

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text


WIDTH = 120  # terminal cells of plain text
_WORD = 10  # terminal cells of a word that a narrow column may break


def as_text(blocks: Sequence[Block]) -> str:
    """Render lines and tables as plain text of at most `WIDTH` terminal cells.

    >>> from softcloze.display import Styled
    >>> names = Column("name", [("a ", Styled("b", "bold")), ["c", "d"]])
    >>> print(as_text(["two rows", Table([names, Column("count", ["1,000", "2"], is_number=True)])]))
    two rows
    <BLANKLINE>
      name   count
     ──────────────
      a b    1,000
      c          2
      d
    """
    from rich.console import Console

    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(rich_group(blocks))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def rich_group(blocks: Sequence[Block]) -> "RenderableType":
    """Render lines and tables for a console of rich."""
    from rich.console import Group

    return Group(*map(_rich_block, blocks))


def rich_table(table: Table) -> "RichTable":
    """Render a table for a console of rich."""
    from rich import box
    from rich.table import Table as RichTable

    rendered = RichTable(
        box=box.SIMPLE_HEAD,
        title=rich_cell(table.title) if table.title else None,
        title_justify="left",
        caption=rich_cell(table.caption) if table.caption else None,
        caption_justify="left",
    )
    for column in table.columns:
        rendered.add_column(
            rich_cell(column.name),
            justify="right" if column.is_number else "left",
            no_wrap=column.is_number or column.wrap != "fold",
            overflow="fold",
            style=column.style or None,
            min_width=column.min_width,
        )
    for index, row in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        rendered.add_row(*map(rich_cell, row), end_section=index in table.sections)
    return rendered


def table_width(table: Table) -> int:
    """Terminal cells that a table takes if no cell wraps.

    >>> table_width(Table([Column("name", ["a"]), Column("count", ["1,000"], is_number=True)]))
    16
    """
    return _table_width(map(_column_width, table.columns))


def rich_cell(cell: Cell) -> "Text":
    """Render a line, or the lines of a cell, for a console of rich."""
    from rich.text import Text

    lines = (Text.assemble(*((str(text), style) for text, style in pieces_of(line))) for line in lines_of(cell))
    return Text("\n").join(lines)


def _rich_block(block: Block) -> "RenderableType":
    from rich.text import Text

    match block:
        case Table() | Choice():
            return _Fitted(block)
        case Preformatted(text, style):
            return Text(text, style)
        case _:
            return rich_cell(block)


class _Fitted(NamedTuple):
    """A renderable of rich: the layout and the parts of tables that fit the console."""

    block: Table | Choice

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        if isinstance(self.block, Table):
            yield from map(rich_table, _split(self.block, options.max_width))
            return
        for layout in self.block.layouts:
            if all(table_width(block) <= options.max_width for block in layout if isinstance(block, Table)):
                break
        yield rich_group(layout)


def _split(table: Table, width: int) -> list[Table]:
    """Split a table whose numbers do not fit into tables that do; each starts with the first column."""
    first, *others = table.columns
    groups: list[list[Column]] = [[first]]
    for column in others:
        if len(groups[-1]) > 1 and _table_width(map(_least_width, [*groups[-1], column])) > width:
            groups.append([first])
        groups[-1].append(column)
    last = len(groups) - 1
    return [
        Table(group, table.title if i == 0 else "", table.caption if i == last else "", table.sections)
        for i, group in enumerate(groups)
    ]


def _table_width(columns: Iterable[int]) -> int:
    """Terminal cells of a table with columns of these widths."""
    return sum(width + 3 for width in columns) + 1


def _column_width(column: Column) -> int:
    lines = (line for cell in (column.name, *column.cells) for line in rich_cell(cell).split())
    return max(column.min_width or 0, max((line.cell_len for line in lines), default=0))


def _least_width(column: Column) -> int:
    """Terminal cells below which numbers would be cut or short words broken; names of columns may wrap."""
    name = _longest_word([column.name])
    if column.is_number or column.wrap == "never":
        return max(name, _column_width(column._replace(name="")))
    return max(column.min_width or 0, name, min(_WORD, _longest_word(column.cells)))


def _longest_word(cells: Iterable[Cell]) -> int:
    lines = (line for cell in cells for line in rich_cell(cell).split())
    return max((word.cell_len for line in lines for word in line.split(" ")), default=0)
