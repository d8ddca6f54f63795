"""What one example makes of a template: its parts in order, with the field values filled in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from softcloze.template.nodes import Demos, Field, Literal, Mask, Options, Soft, Special
from softcloze.template.soft_blocks import SoftBlock
from softcloze.template.template import Template


@dataclass(frozen=True, slots=True)
class Part:
    """One node as it comes out for an example.

    Attributes:
        node: what it is.
        text: of a literal, or the value of a field; "" for everything else.
        block: of a soft slot.
    """

    node: Literal | Field | Soft | Mask | Options | Demos | Special
    text: str = ""
    block: SoftBlock | None = None


def expand(
    template: Template,
    values: Mapping[str, object],
    row: int | None = None,
    example: str | Mapping[str, object] | None = None,
) -> list[Part]:
    """What comes out of `template` for an example, in order; with Jinja, neighbouring literals are one.

    Args:
        template: the template.
        values: of its fields, as `read_fields` has read them.
        row: the example's number, for error messages.
        example: as it was given, for error messages to name what it has.

    Raises:
        FieldError: Jinja uses a value that is missing or of the wrong kind.
        TemplateLogicError: Jinja makes too much of the example, or not every mask exactly once.

    >>> for part in expand(Template("{% if title %}<title>: {% endif %}<text> <mask>"), {"title": "", "text": "好"}):
    ...     print(part.node, repr(part.text))
    Field(name='text', max=None, keep='head', shorten=1.0) '好'
    Literal(text=' ') ' '
    Mask(count=None, name=None) ''
    """
    if template.logic is not None:
        return template.logic.expand(values, row, example if isinstance(example, Mapping) else values)
    parts = []
    for i, node in enumerate(template.nodes):
        match node:
            case Literal(text):
                parts.append(Part(node, text))
            case Field(name):
                parts.append(Part(node, str(values[name])))
            case Soft():
                parts.append(Part(node, block=template.block_of(i)))
            case Mask() | Options() | Demos() | Special():
                parts.append(Part(node))
    return parts


def merge_literals(parts: Iterable[Part]) -> list[Part]:
    """Neighbouring literals as one, empty ones dropped."""
    merged: list[Part] = []
    literals: list[Part] = []  # since the last part of another kind
    for part in parts:
        if not isinstance(part.node, Literal):
            merged += _as_one(literals)
            merged.append(part)
            literals = []
        elif part.text:
            literals.append(part)
    return merged + _as_one(literals)


def _as_one(literals: list[Part]) -> list[Part]:
    if len(literals) < 2:
        return literals
    text = "".join(part.text for part in literals)
    return [Part(Literal(text), text)]
