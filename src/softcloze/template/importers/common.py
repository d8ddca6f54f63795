"""Steps that all importers share."""

from collections.abc import Iterable

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import line_and_column, quoted
from softcloze.template.nodes import Field, Literal, Mask, Placed
from softcloze.template.tags import TAGS


def field(name: str, source: str, start: int, end: int, *, shorten: float = 1.0) -> Field:
    """A field of this name, written at `source[start:end]`.

    Raises:
        TemplateSyntaxError: the name is not a valid field name.
    """
    if not name.isidentifier():
        problem = f"a field's name is an identifier, as in text_a, found {quoted(name)}: rename the column"
        raise TemplateSyntaxError(problem, source, start, end)
    if name in TAGS:
        raise TemplateSyntaxError(
            f"no field can be called {name!r}, which is a tag: rename the column", source, start, end
        )
    return Field(name, shorten=shorten)


def finish(source: str, placed: Iterable[Placed]) -> list[Placed]:
    """Drop empty literals, and validate that exactly one node is a mask.

    Raises:
        TemplateSyntaxError: `source`, which the nodes were read from, has no mask or several.
    """
    written = [tag for tag in placed if tag.node != Literal("")]
    masks = [tag for tag in written if isinstance(tag.node, Mask)]
    if not masks:
        raise TemplateSyntaxError("the template has no mask, expected exactly one", source, len(source), len(source))
    if len(masks) > 1:
        problem = f"only one mask can be read here: the first is at {line_and_column(source, masks[0].start)}"
        raise TemplateSyntaxError(problem, source, masks[1].start, masks[1].end)
    return written
