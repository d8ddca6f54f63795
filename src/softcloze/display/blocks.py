"""The blocks of a result: lines and tables, whose text may come from outside and is escaped by the renderers."""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, TypeAlias

from softcloze.formatting import one_line


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


def lines_of(cell: Cell) -> Sequence[Line]:
    """The lines of a cell; one that is empty if it goes on from the cell above."""
    if cell is None:
        return [""]
    return cell if isinstance(cell, list) else [cell]


def pieces_of(line: Line) -> list[Styled]:
    """The pieces of a line, escaped; spaces at the ends of pieces without a style stay spaces."""
    if isinstance(line, Styled):
        return [Styled(one_line(line.text), line.style)]
    if isinstance(line, tuple):
        return [pieces_of(piece)[0] if isinstance(piece, Styled) else Styled(_spaced(str(piece)), "") for piece in line]
    return [Styled(one_line(line), "")]


def _spaced(text: str) -> str:
    inner = text.strip(" ")
    before = text[: len(text) - len(text.lstrip(" "))]
    return before + one_line(inner) + text[len(before) + len(inner) :]
