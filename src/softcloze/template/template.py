"""A template: its nodes, checked, with the fields and soft blocks they name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from softcloze.template.blocks import SoftBlock, assign_blocks
from softcloze.template.errors import TemplateSyntaxError, TemplateTypeError, cut, nearest, place
from softcloze.template.nodes import Field, Literal, Mask, Node, Soft, write
from softcloze.template.parser import Placed, parse, read_tag


@dataclass(frozen=True, init=False, repr=False, slots=True)
class Template:
    """A template, parsed and checked; equal to every template of the same nodes.

    `str` gives it back in its canonical spelling, so `Template(str(t)) == t`.

    Attributes:
        nodes: literals, fields, soft slots and the mask, in order.
        fields: names of the fields, each once, in order of first appearance.
        blocks: trainable blocks of the soft slots, in order of first appearance.

    Raises:
        TemplateSyntaxError: the source breaks a rule of the language.

    >>> template = Template("<soft init=about> <text > It was <mask>")
    >>> print(template)
    <soft init="about"> <text> It was <mask>
    >>> template.nodes[2]
    Field(name='text')
    """

    nodes: tuple[Node, ...]
    fields: tuple[str, ...] = field(compare=False)
    blocks: tuple[SoftBlock, ...] = field(compare=False)
    _block_at: tuple[SoftBlock | None, ...] = field(compare=False)

    def __init__(self, source: str) -> None:
        if not isinstance(source, str):
            raise TemplateTypeError(f"a template is a string, as in '<text> It was <mask>', not {_kind(source)}")
        placed = parse(source)
        _check_mask(placed, source)
        block_at = assign_blocks(placed, source)
        nodes = tuple(node for node, _, _ in placed)
        remember = object.__setattr__  # the class is frozen
        remember(self, "nodes", nodes)
        remember(self, "fields", tuple(dict.fromkeys(node.name for node in nodes if isinstance(node, Field))))
        remember(self, "blocks", tuple(dict.fromkeys(block for block in block_at if block is not None)))
        remember(self, "_block_at", block_at)

    @classmethod
    def from_nodes(cls, nodes: Iterable[Node]) -> Self:
        """Make a template from nodes; neighbouring literals become one, empty ones none.

        Raises:
            TemplateSyntaxError: the nodes break a rule; the printed form is its source.
            TemplateTypeError: something among them is no node.

        >>> Template.from_nodes([Field("text"), Literal(" It"), Literal(" was "), Mask()])
        Template('<text> It was <mask>')
        """
        merged = _merge_literals(nodes)
        pieces = write(merged)
        source = "".join(pieces)
        at = 0
        for node, piece in zip(merged, pieces, strict=True):
            end = at + len(piece)
            if not isinstance(node, Literal) and read_tag(source, at).node != node:
                rule = "names are identifiers, count is an int and init is text"
                raise TemplateSyntaxError(f"{cut(repr(node), 80)} is no tag: {rule}", source, at, end)
            at = end
        return cls(source)

    def block_of(self, i: int) -> SoftBlock:
        """The block that holds the vectors of `nodes[i]`, a soft slot.

        >>> Template("<text><soft*3 name=tail><mask>").block_of(1)
        SoftBlock(key='tail', count=3, init=None)
        """
        block = self._block_at[i]
        if block is None:
            raise TemplateTypeError(f"node {i} of the template is {cut(repr(self.nodes[i]), 80)}, not a Soft")
        return block

    def __str__(self) -> str:
        return "".join(write(self.nodes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (str(self),)  # pickled as source, so that unpickling checks it again


def _check_mask(placed: Sequence[Placed], source: str) -> None:
    masks = [tag for tag in placed if isinstance(tag.node, Mask)]
    if not masks:
        near = nearest("mask", (tag.node.name for tag in placed if isinstance(tag.node, Field)))
        hint = "" if near is None else f"; did you mean <mask> where it says <{cut(near)}>?"
        raise TemplateSyntaxError(f"the template has no <mask>, expected exactly one{hint}", source, *[len(source)] * 2)
    if len(masks) > 1:
        problem = (
            f"a template has only one <mask>, and this is the second: the first is at {place(source, masks[0].start)}"
        )
        raise TemplateSyntaxError(problem, source, masks[1].start, masks[1].end)


def _merge_literals(nodes: Iterable[Node]) -> list[Node]:
    merged: list[Node] = []
    run: list[str] = []

    def finish_run() -> None:
        text = "".join(run)
        run.clear()
        if text:
            merged.append(Literal(text))

    for node in nodes:
        match node:
            case Literal(str() as text):
                run.append(text)
            case Field() | Soft() | Mask():
                finish_run()
                merged.append(node)
            case _:
                found = _kind(node) if not isinstance(node, Literal) else f"a Literal of {_kind(node.text)}"
                raise TemplateTypeError(f"expected Field, Soft, Mask or a Literal of str, found {found}")
    finish_run()
    return merged


def _kind(value: object) -> str:
    return f"{type(value).__name__} {cut(repr(value))}"
