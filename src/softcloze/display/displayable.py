"""Results that print themselves."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from softcloze.display.blocks import Block
from softcloze.display.html import as_html
from softcloze.display.terminal import as_text, rich_group

if TYPE_CHECKING:
    from rich.console import RenderableType


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
