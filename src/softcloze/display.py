"""Tables for the terminal and for notebooks."""

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from softcloze.formatting import one_line

if TYPE_CHECKING:
    from jinja2 import Template
    from rich.console import RenderableType


WIDTH = 120  # cells of plain text


class Column(NamedTuple):
    """A column of a table: its heading and its cells."""

    name: str
    cells: list[str]
    is_number: bool = False


Table: TypeAlias = list[Column]


class Shown(ABC):
    """What is shown as lines and tables: by `print`, by `rich.print` and in notebooks."""

    __slots__ = ()

    @abstractmethod
    def shown(self) -> Sequence[str | Table]:
        """Lines and tables, in order; their text may be from outside."""

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def __rich__(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        return Group(*(Text(one_line(part)) if isinstance(part, str) else _rich_table(part) for part in self.shown()))

    def _repr_html_(self) -> str:
        return _fragment().render(parts=self.shown())


def named(places: Sequence[tuple[str, int]]) -> list[str]:
    """Names of vectors, by their blocks and numbers; of a single block by the number alone.

    >>> named([("#1", 1), ("#1", 2)]), named([("#1", 1), ("task", 1)])
    (['1', '2'], ['#1 1', 'task 1'])
    """
    several = len({block for block, _ in places}) > 1
    return [f"{block} {number}" if several else f"{number}" for block, number in places]


def fixed(value: float) -> str:
    """A number for people, without -0.00.

    >>> fixed(0.625), fixed(-0.001)
    ('0.62', '0.00')
    """
    return f"{value:z.2f}"


def change(value: float) -> str:
    """A difference for people, always with its sign.

    >>> change(0.0625), change(-0.5), change(0.0)
    ('+0.062', '-0.500', '+0.000')
    """
    return f"{value:+z.3f}"


def _rich_table(columns: Table) -> "RenderableType":
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD)
    for column in columns:
        if column.is_number:
            shown.add_column(Text(one_line(column.name)), justify="right", no_wrap=True)
        else:
            shown.add_column(Text(one_line(column.name)), overflow="fold")
    for line in zip(*(column.cells for column in columns), strict=True):
        shown.add_row(*(Text(one_line(cell)) for cell in line))
    return shown


@cache
def _fragment() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"one_line": one_line}
    return environment.from_string(files("softcloze").joinpath("display.html").read_text(encoding="utf-8"))
