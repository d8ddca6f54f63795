"""The parts of a filled template, in order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from softcloze.template.nodes import Answer, Demos, Field, Literal, Mask, Node, Options, Soft, Special, Turn
from softcloze.template.soft_blocks import SoftBlock


@dataclass(frozen=True, slots=True)
class Part:
    """One node of a template filled with an example.

    Attributes:
        node: the node.
        text: the text of a literal or the value of a field; "" for everything else.
        block: the soft block of a soft slot.
    """

    node: Literal | Field | Soft | Mask | Answer | Options | Demos | Special | Turn
    text: str = ""
    block: SoftBlock | None = None


def fill(nodes: Sequence[Node], node_blocks: Sequence[SoftBlock | None], values: Mapping[str, object]) -> list[Part]:
    """Fill nodes without Jinja with the field values of an example; arguments as the attributes of `Template`."""
    parts = []
    for node, block in zip(nodes, node_blocks, strict=True):
        match node:
            case Literal(text):
                parts.append(Part(node, text))
            case Field(name):
                parts.append(Part(node, str(values[name])))
            case Options(sep, str(name)):
                parts.append(Part(node, sep.join(cast(list[str], values[name]))))
            case Soft() | Mask() | Answer() | Options() | Demos() | Special() | Turn():
                parts.append(Part(node, block=block))
    return parts


def merge_literals(parts: Iterable[Part]) -> list[Part]:
    """Merge neighbouring literals; drop empty ones."""
    merged: list[Part] = []
    literals: list[Part] = []  # since the last part of another kind
    for part in parts:
        if not isinstance(part.node, Literal):
            merged += _merged(literals)
            merged.append(part)
            literals = []
        elif part.text:
            literals.append(part)
    return merged + _merged(literals)


def _merged(literals: list[Part]) -> list[Part]:
    if len(literals) < 2:
        return literals
    text = "".join(part.text for part in literals)
    return [Part(Literal(text), text)]
