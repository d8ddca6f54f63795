"""The printed form of nodes, which reads as the same nodes."""

from collections.abc import Iterable
from itertools import groupby

from softcloze.errors import TemplateSyntaxError, TemplateTypeError
from softcloze.formatting import quoted
from softcloze.template.nodes import Literal, Node, write
from softcloze.template.parser import read_node


def source_of(nodes: Iterable[Node]) -> str:
    """Write nodes as a template; neighbouring literals are merged, empty ones dropped.

    Raises:
        TemplateSyntaxError: a node cannot be written, since what is written reads as another one; shows the place.
        TemplateTypeError: an item is not a node.
    """
    merged = _merge_literals(nodes)
    pieces = write(merged)
    source = "".join(pieces)
    at = 0
    for node, piece in zip(merged, pieces, strict=True):
        end = at + len(piece)
        if not isinstance(node, Literal) and (read := read_node(source, at).node) != node:
            problem = f"{quoted(node, 80)} cannot be written: this reads as {quoted(read, 80)}"
            raise TemplateSyntaxError(problem, source, at, end)
        at = end
    return source


def _merge_literals(nodes: Iterable[Node]) -> list[Node]:
    merged: list[Node] = []
    for is_literal, run in groupby(map(_validated, nodes), lambda node: isinstance(node, Literal)):
        if not is_literal:
            merged += run
        elif text := "".join(node.text for node in run if isinstance(node, Literal)):
            merged.append(Literal(text))
    return merged


def _validated(node: Node) -> Node:
    match node:
        case Literal(text) if not isinstance(text, str):
            raise TemplateTypeError(f"expected a Literal of str, found one of {kind_of(text)}")
        case _ if not isinstance(node, Node):
            raise TemplateTypeError(f"expected nodes such as Literal, Field and Mask, found {kind_of(node)}")
    return node


def kind_of(value: object) -> str:
    """The type of a value and the value, for messages."""
    return f"{type(value).__name__} {quoted(value)}"
