"""A template: its nodes, checked, with the fields and soft blocks they name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from softcloze.errors import TemplateSyntaxError, TemplateTypeError
from softcloze.formatting import cut, nearest, place
from softcloze.template.nodes import Demos, Expression, Field, Literal, Mask, Node, Placed, Statement, write
from softcloze.template.parser import parse, read_node
from softcloze.template.soft_blocks import SoftBlock, assign_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from softcloze.lint import Finding
    from softcloze.lint.label_words import Labels
    from softcloze.template.jinja.program import Logic


@dataclass(frozen=True, init=False, repr=False, slots=True)
class Template:
    """A template, parsed and checked; equal to every template of the same nodes.

    `str` gives it back in its canonical spelling, so `Template(str(t)) == t`.

    Attributes:
        nodes: literals, fields, soft slots, the mask and all else, in order.
        fields: names of the fields and of what Jinja reads, each once, in order of first appearance.
        blocks: trainable blocks of the soft slots, in order of first appearance.
        source: the template as it was given, comments included; the printed form of one made from nodes.
        spans: start and end in `source` of each of `nodes`.
        variables: those of `fields` that Jinja reads.
        masks: its masks, in order: one, or several that differ in their names.
        demos: the place of the demonstrations, None if it has none.
        logic: its Jinja, compiled; None if it has none.

    Raises:
        TemplateSyntaxError: the source breaks a rule of the language.

    >>> template = Template("<soft init=about> <text max=0200> It was <mask><!-- so far -->")
    >>> print(template)
    <soft init="about"> <text max=200> It was <mask>
    >>> template.nodes[2]
    Field(name='text', max=200, keep='head', shorten=1.0)
    """

    nodes: tuple[Node, ...]
    fields: tuple[str, ...] = field(compare=False)
    blocks: tuple[SoftBlock, ...] = field(compare=False)
    source: str = field(compare=False)
    spans: tuple[tuple[int, int], ...] = field(compare=False)
    variables: tuple[str, ...] = field(compare=False)
    masks: tuple[Mask, ...] = field(compare=False)
    demos: Demos | None = field(compare=False)
    logic: "Logic | None" = field(compare=False)
    _block_at: tuple[SoftBlock | None, ...] = field(compare=False)

    def __init__(self, source: str) -> None:
        if not isinstance(source, str):
            raise TemplateTypeError(f"a template is a string, as in '<text> It was <mask>', not {_kind(source)}")
        placed = parse(source)
        masks = _check_masks(placed, source)
        demos = _check_demos(placed, source)
        block_at = assign_blocks(placed, source)
        nodes = tuple(node for node, _, _ in placed)
        spans = tuple((start, end) for _, start, end in placed)
        logic = _logic(placed, block_at, source)
        fields = tuple(dict.fromkeys(node.name for node in nodes if isinstance(node, Field)))
        remember = object.__setattr__  # the class is frozen
        remember(self, "nodes", nodes)
        remember(self, "fields", fields if logic is None else logic.fields)
        remember(self, "blocks", tuple(dict.fromkeys(block for block in block_at if block is not None)))
        remember(self, "source", source)
        remember(self, "spans", spans)
        remember(self, "variables", () if logic is None else logic.variables)
        remember(self, "masks", masks)
        remember(self, "demos", demos)
        remember(self, "logic", logic)
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
            if not isinstance(node, Literal) and (read := read_node(source, at).node) != node:
                problem = f"{cut(repr(node), 80)} cannot be written: this reads as {cut(repr(read), 80)}"
                raise TemplateSyntaxError(problem, source, at, end)
            at = end
        return cls(source)

    @property
    def has_logic(self) -> bool:
        """Whether there is any Jinja in it."""
        return self.logic is not None

    def block_of(self, i: int) -> SoftBlock:
        """The block that holds the vectors of `nodes[i]`, a soft slot.

        >>> Template("<text><soft*3 name=tail><mask>").block_of(1)
        SoftBlock(key='tail', count=3, init=None)
        """
        block = self._block_at[i]
        if block is None:
            raise TemplateTypeError(f"node {i} of the template is {cut(repr(self.nodes[i]), 80)}, not a Soft")
        return block

    def check(
        self,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
        fields: Iterable[str] | None = None,
        labels: "Labels | None" = None,
    ) -> "list[Finding]":
        """What is doubtful about it, with place and advice: see `softcloze.lint.template.check`."""
        from softcloze.lint.template import check

        return check(self, tokenizer=tokenizer, fields=fields, labels=labels)

    @staticmethod
    def from_openprompt(text: str) -> "Template":
        """Make a template from one of OpenPrompt: see `softcloze.template.importers`."""
        from softcloze.template.importers.openprompt import from_openprompt

        return from_openprompt(text)

    @staticmethod
    def from_ruprompts(text: str) -> "Template":
        """Make a template from one of ruPrompts: see `softcloze.template.importers`."""
        from softcloze.template.importers.ruprompts import from_ruprompts

        return from_ruprompts(text)

    @staticmethod
    def from_lmbff(text: str) -> "Template":
        """Make a template from one of LM-BFF: see `softcloze.template.importers`."""
        from softcloze.template.importers.lmbff import from_lmbff

        return from_lmbff(text)

    def _repr_html_(self) -> str:
        from softcloze.template.describe import as_html

        return as_html(self)

    def __str__(self) -> str:
        return "".join(write(self.nodes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.source,)  # so that unpickling checks it again


def _check_masks(placed: Sequence[Placed], source: str) -> tuple[Mask, ...]:
    """The masks: exactly one, or several with a name each."""
    masks = [(tag, tag.node) for tag in placed if isinstance(tag.node, Mask)]
    if not masks:
        near = nearest("mask", (tag.node.name for tag in placed if isinstance(tag.node, Field)))
        hint = "" if near is None else f"; did you mean <mask> where it says <{cut(near)}>?"
        raise TemplateSyntaxError(f"the template has no <mask>, expected exactly one{hint}", source, *[len(source)] * 2)
    first: dict[str | None, Placed] = {}
    for tag, mask in masks:
        if mask.name in first:
            there = place(source, first[mask.name].start)
            problem = (
                f"a template has only one <mask>, and this is the second: the first is at {there}; "
                "several need names, as in <mask name=quality>"
                if mask.name is None
                else f"two masks are named {cut(repr(mask.name))}, and this is the second: the first is at {there}"
            )
            raise TemplateSyntaxError(problem, source, tag.start, tag.end)
        first[mask.name] = tag
    nameless = first.pop(None, None)
    if nameless is not None and first:
        there = place(source, min(tag.start for tag in first.values()))
        problem = f"this mask has no name, but that at {there} has: where there are several, all are named"
        raise TemplateSyntaxError(problem, source, nameless.start, nameless.end)
    return tuple(mask for _, mask in masks)


def _check_demos(placed: Sequence[Placed], source: str) -> Demos | None:
    """The place of the demonstrations: at most one, with all masks on one side of it."""
    demos = [(tag, tag.node) for tag in placed if isinstance(tag.node, Demos)]
    if not demos:
        return None
    (tag, node), *more = demos
    if more:
        problem = f"a template has only one <demos>, and this is the second: the first is at {place(source, tag.start)}"
        raise TemplateSyntaxError(problem, source, more[0][0].start, more[0][0].end)
    masks = [other.start for other in placed if isinstance(other.node, Mask)]
    if masks[0] < tag.start < masks[-1]:
        problem = "<demos> stands between two masks, and a demonstration has to show all of them: put it in front"
        raise TemplateSyntaxError(problem, source, tag.start, tag.end)
    return node


def _logic(placed: Sequence[Placed], block_at: Sequence[SoftBlock | None], source: str) -> "Logic | None":
    if not any(isinstance(tag.node, Expression | Statement) for tag in placed):
        return None
    from softcloze.template.jinja.program import Logic  # most templates need neither this nor Jinja

    return Logic(placed, block_at, source)


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
            case Literal(other):
                raise TemplateTypeError(f"expected a Literal of str, found one of {_kind(other)}")
            case _ if isinstance(node, Node):
                finish_run()
                merged.append(node)
            case _:
                raise TemplateTypeError(f"expected nodes such as Literal, Field and Mask, found {_kind(node)}")
    finish_run()
    return merged


def _kind(value: object) -> str:
    return f"{type(value).__name__} {cut(repr(value))}"
