"""Results as lines and tables: in the terminal, as plain text and as HTML.

A result class derives from `Displayable` and gives its lines and tables in `content()`; `print`, `rich.print` and
notebooks then show it. Commands that print tables of their own use `rich_table` and `rich_group`. All text may come
from outside: the renderers escape it. rich and jinja2 are imported when something is rendered.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from softcloze.formatting import one_line, visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text


WIDTH = 120  # terminal cells of plain text
_WORD = 10  # terminal cells of a word that a narrow column may break


class Styled(NamedTuple):
    """A text with a style of rich, such as "bold", "dim" or "bold green"; HTML shows bold and dim ones."""

    text: object
    style: str


Line: TypeAlias = "str | Styled | tuple[str | Styled, ...]"  # one line: a text, or the pieces that it is joined from
Cell: TypeAlias = "Line | list[Line] | None"  # a line, several lines, or None: the cell above goes on


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: its heading.
        cells: one cell for each row; None merges a cell with the one above.
        is_number: align the cells at the right and never wrap them.
        wrap: "fold" wraps long lines; "never" keeps them whole
        style: of the whole column, as for `Styled`.
        min_width: terminal cells that the column has at least.
    """

    name: Cell
    cells: Sequence[Cell]
    is_number: bool = False
    wrap: Literal["fold", "never"] = "fold"
    style: str = ""
    min_width: int | None = None


class Table(NamedTuple):
    """Columns of equal length, with an optional line above and below.

    Attributes:
        columns: the columns.
        title: the line above.
        caption: the line below.
        sections: indices of the rows that are followed by a gap; only the terminal shows it.
    """

    columns: Sequence[Column]
    title: Line = ""
    caption: Line = ""
    sections: Collection[int] = ()


class Preformatted(NamedTuple):
    """Lines whose spaces count, such as a message with carets; nothing but HTML is escaped in them."""

    text: str
    style: str = ""


SimpleBlock: TypeAlias = "Line | Table | Preformatted"


class Choice(NamedTuple):
    """Blocks in several layouts: the terminal shows the first layout whose tables fit without wrapping, else the last.

    HTML shows the first layout.
    """

    layouts: Sequence[Sequence[SimpleBlock]]


Block: TypeAlias = "SimpleBlock | Choice"


class Displayable(ABC):
    """A result that `print`, `rich.print` and notebooks show as lines and tables."""

    __slots__ = ()

    @abstractmethod
    def content(self) -> Sequence[Block]:
        """Lines and tables, in order."""

    def __str__(self) -> str:
        return as_text(self.content())

    def __rich__(self) -> "RenderableType":
        return rich_group(self.content())

    def _repr_html_(self) -> str:
        return as_html(self.content())


def as_text(blocks: Sequence[Block]) -> str:
    """Render lines and tables as plain text of at most `WIDTH` terminal cells.

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


def as_html(blocks: Sequence[Block]) -> str:
    """Render lines and tables as an HTML fragment that needs no other file.

    >>> html = as_html([("1 & ", Styled("2", "bold"))])
    >>> html[html.index("<p>"):].split("</p>")[0]
    '<p>1 &amp; <strong lang="">2</strong>'
    """
    layout: list[SimpleBlock] = []
    for block in blocks:
        layout += block.layouts[0] if isinstance(block, Choice) else [block]
    return html_environment().get_template("display.html").render(blocks=[_html_block(block) for block in layout])


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

    lines = (Text.assemble(*((str(text), style) for text, style in _pieces(line))) for line in _lines(cell))
    return Text("\n").join(lines)


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


def named(positions: Sequence[tuple[str, int]]) -> list[str]:
    """Names of soft vectors by block and position; of a single block by the position alone.

    >>> named([("#1", 1), ("#1", 2)]), named([("#1", 1), ("task", 1)])
    (['1', '2'], ['#1 1', 'task 1'])
    """
    several = len({block for block, _ in positions}) > 1
    return [f"{block} {position}" if several else f"{position}" for block, position in positions]


def fixed(value: float) -> str:
    """Format a number with two decimals, never as -0.00.

    >>> fixed(0.625), fixed(-0.001)
    ('0.62', '0.00')
    """
    return f"{value:z.2f}"


def percent(probability: float) -> str:
    """Format a probability as a percentage.

    >>> percent(0.1234), percent(0.00001), percent(0)
    ('12.34%', '<0.01%', '0.00%')
    """
    return "<0.01%" if 0 < probability < 0.00005 else f"{probability:.2%}"


def change(value: float) -> str:
    """Format a difference, always with its sign.

    >>> change(0.0625), change(-0.5), change(0.0)
    ('+0.062', '-0.500', '+0.000')
    """
    return f"{value:+z.3f}"


def _lines(cell: Cell) -> Sequence[Line]:
    if cell is None:
        return [""]
    return cell if isinstance(cell, list) else [cell]


def _pieces(line: Line) -> list[Styled]:
    """The pieces of a line, escaped; spaces at the ends of pieces without a style stay spaces."""
    if isinstance(line, Styled):
        return [Styled(one_line(line.text), line.style)]
    if isinstance(line, tuple):
        return [_pieces(piece)[0] if isinstance(piece, Styled) else Styled(_spaced(str(piece)), "") for piece in line]
    return [Styled(one_line(line), "")]


def _spaced(text: str) -> str:
    inner = text.strip(" ")
    before = text[: len(text) - len(text.lstrip(" "))]
    return before + one_line(inner) + text[len(before) + len(inner) :]


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
                "title": _pieces(title) if title else [],
                "caption": _pieces(caption) if caption else [],
                "heading": [_HtmlCell(_html_lines(column.name), column.is_number, 1) for column in columns],
                "rows": [
                    [_html_cell(column, row) for column in columns if column.cells[row] is not None]
                    for row in range(count)
                ],
            }
        case Preformatted(text):
            return {"preformatted": text}
        case _:
            return {"line": _pieces(block)}


def _html_cell(column: Column, row: int) -> _HtmlCell:
    end = row + 1
    while end < len(column.cells) and column.cells[end] is None:
        end += 1
    return _HtmlCell(_html_lines(column.cells[row]), column.is_number, end - row)


def _html_lines(cell: Cell) -> list[list[Styled]]:
    return [_pieces(line) for line in _lines(cell)]
