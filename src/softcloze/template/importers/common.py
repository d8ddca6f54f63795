"""From nodes that another library's template was read into to a template of ours."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from softcloze.errors import TemplateSyntaxError, TemplateTypeError
from softcloze.formatting import cut, place
from softcloze.template.nodes import Field, Literal, Mask, Placed, write
from softcloze.template.tags import TAGS
from softcloze.template.template import Template


def check_text(text: object, example: str) -> None:
    """Refuse what is no string, before anything looks into it.

    Raises:
        TemplateTypeError: `text` is no string; names its type and an example.
    """
    if not isinstance(text, str):
        found = f"{type(text).__name__} {cut(repr(text))}"
        raise TemplateTypeError(f"expected a template as text, as in {example!r}, not {found}")


def field(name: str, source: str, start: int, end: int, *, shorten: float = 1.0) -> Field:
    """The field of that name, which `source[start:end]` writes.

    Raises:
        TemplateSyntaxError: no field of ours can have that name.
    """
    if not name.isidentifier():
        problem = f"a field's name is an identifier, as in text_a, found {cut(repr(name))}: rename the column"
        raise TemplateSyntaxError(problem, source, start, end)
    if name in TAGS:
        raise TemplateSyntaxError(
            f"no field can be called {name!r}, which is a tag: rename the column", source, start, end
        )
    return Field(name, shorten=shorten)


def build(source: str, placed: Iterable[Placed]) -> Template:
    """The template of these nodes; whatever is wrong with it is shown in `source`, which they were read from.

    Raises:
        TemplateSyntaxError: the nodes make no template.
    """
    merged = _merged(placed)
    masks = [node for node in merged if isinstance(node.node, Mask)]
    if not masks:
        raise TemplateSyntaxError("the template has no mask, expected exactly one", source, len(source), len(source))
    if len(masks) > 1:
        problem = f"only one mask can be read here: the first is at {place(source, masks[0].start)}"
        raise TemplateSyntaxError(problem, source, masks[1].start, masks[1].end)
    nodes = [node for node, _, _ in merged]
    try:
        return Template.from_nodes(nodes)
    except TemplateSyntaxError as error:
        ends = list(accumulate(map(len, write(nodes))))
        at_fault = merged[min(bisect_right(ends, error.start), len(merged) - 1)]
        raise TemplateSyntaxError(error.problem, source, at_fault.start, at_fault.end) from error


def _merged(placed: Iterable[Placed]) -> list[Placed]:
    """Neighbouring literals as one, empty ones dropped, as templates keep them."""
    merged: list[Placed] = []
    for node, start, end in placed:
        match node, merged:
            case Literal(""), _:
                pass
            case Literal(text), [*_, Placed(Literal(before), first, _)]:
                merged[-1] = Placed(Literal(before + text), first, end)
            case _:
                merged.append(Placed(node, start, end))
    return merged
