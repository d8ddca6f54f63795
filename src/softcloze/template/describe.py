"""Describe the nodes of a template in words, and render them as HTML."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from softcloze.formatting import visible
from softcloze.template.nodes import (
    EMBEDDING,
    Answer,
    Demos,
    Expression,
    Field,
    Literal,
    Mask,
    Node,
    Options,
    Soft,
    Special,
    Statement,
    Turn,
    write,
)
from softcloze.template.soft_blocks import SoftBlock

NAMES = {
    "literal": "literal",
    "field": "field",
    "soft": "soft slot",
    "mask": "mask",
    "answer": "answer",
    "stop": "stop string",
    "options": "label words",
    "demo": "demonstrations",
    "special": "special token",
    "turn": "chat turn",
    "logic": "Jinja",
}
# translucent colours for light and dark pages; each kind also has its own line, for readers who cannot see colours
STYLES = {
    "literal": "border-bottom:1px dotted #888",
    "field": "border-bottom:2px solid #0891b2;background:#0891b233",
    "soft": "border-bottom:4px double #c026d3;background:#c026d333",
    "mask": "border:2px solid #d97706;background:#d9770633",
    "answer": "border:2px solid #e11d48;background:#e11d4833",
    "stop": "border-bottom:2px solid #e11d48",
    "options": "border-bottom:2px dashed #2563eb;background:#3b82f633",
    "demo": "border-bottom:4px double #16a34a;background:#16a34a33",
    "special": "border-bottom:2px dotted #888;background:#8883",
    "turn": "border:1px solid #888;background:#8883",
    "logic": "border-bottom:2px dashed #dc2626;background:#dc262626;font-style:italic",
}
BOX = "padding:0 .15em;margin:0 1px;border-radius:2px;box-decoration-break:clone;-webkit-box-decoration-break:clone"
_KEPT = {"head": "", "tail": ", the last ones kept", "ends": ", both ends kept"}


class Described(NamedTuple):
    """A node in words.

    Attributes:
        kind: one of `NAMES`.
        text: the text of a literal, or the source of another node.
        what: its purpose, one line.
    """

    kind: str
    text: str
    what: str


def kind_of(node: Node) -> str:
    """The kind of a node: one of `NAMES`."""
    match node:
        case Demos():
            return "demo"
        case Expression() | Statement():
            return "logic"
    return type(node).__name__.lower()


def describe(nodes: Sequence[Node], blocks: Sequence[SoftBlock | None]) -> list[Described]:
    """Describe each node.

    Args:
        nodes: the nodes.
        blocks: the soft block of each node, None for nodes other than soft slots.

    >>> from softcloze import Template
    >>> template = Template("<soft*2><text max=9 keep=tail> 很<mask>")
    >>> for part in describe(template.nodes, template.node_blocks):
    ...     print(part)
    Described(kind='soft', text='<soft*2>', what='vectors: 2, block #1')
    Described(kind='field', text='<text max=9 keep=tail>', what='text, at most 9 tokens, the last ones kept')
    Described(kind='literal', text=' 很', what="' 很'")
    Described(kind='mask', text='<mask>', what='where the label word goes')
    """
    described = [
        Described(kind_of(node), node.text if isinstance(node, Literal) else source, _what(node, block, source))
        for node, block, source in zip(nodes, blocks, write(nodes), strict=True)
    ]
    match nodes:
        case [*_, Answer(), Literal(text)]:
            described[-1] = Described("stop", text, f"{text!r} ends the answer")
    return described


def as_html(nodes: Sequence[Node], blocks: Sequence[SoftBlock | None]) -> str:
    """Render the nodes as a self-contained piece of HTML, with a colour and line for each kind, and a legend.

    Each chat turn begins a line.

    `blocks` as for `describe`.

    >>> '<span title="field: text"' in as_html([Field("text"), Literal(" 很"), Mask()], [None] * 3)
    True
    """
    parts = describe(nodes, blocks)
    titles = (NAMES[kind] if kind == "literal" else f"{NAMES[kind]}: {what}" for kind, _, what in parts)
    spans = (
        f'{"<br>" * (kind == "turn" and i > 0)}<span title="{_safe(title)}" '
        f'style="{BOX};{STYLES[kind]}">{_safe(text)}</span>'
        for i, (title, (kind, text, _)) in enumerate(zip(titles, parts, strict=True))
    )
    there = {part.kind for part in parts}
    legend = (f'<span style="{BOX};{STYLES[kind]}">{name}</span>' for kind, name in NAMES.items() if kind in there)
    return (
        '<div><div lang="" style="font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;line-height:2">'
        f'{"".join(spans)}</div><div lang="en" style="font-size:smaller;margin-top:.5em">{" ".join(legend)}</div></div>'
    )


def _safe(text: str) -> str:
    return escape(visible(text))


def _what(node: Node, block: SoftBlock | None, source: str) -> str:
    match node:
        case Literal(text):
            return repr(text)
        case Field(name, most, keep, shorten):
            limit = "" if most is None else f", at most {most} tokens"
            soon = "never shortened" if shorten == 0 else f"shortened {shorten:g} times as soon"
            return name + limit + _KEPT[keep] + (f", {soon}" if shorten != 1 else "")
        case Soft():
            return "soft vectors" if block is None else _describe_block(block)
        case Answer(most):
            return "where the model writes" + ("" if most is None else f", at most {most} tokens")
        case Mask(count, name):
            called = "" if name is None else f" of {name!r}"
            return f"where the label word{called} goes" + ("" if count is None else f", tokens: {count}")
        case Options(sep, str(name)):
            return f"the texts of the list {name}, with {sep!r} between"
        case Options(sep):
            return f"the first word of each label, with {sep!r} between"
        case Demos(count, sep):
            several = "one of each label" if count is None else f"{count} in all"
            return f"labelled examples, {several}, with {sep!r} after each"
        case Special(kind):
            return f"the tokenizer's {kind} token"
        case Turn(role):
            return f"begins a turn of the {role}, in the tokenizer's chat template"
        case Expression():
            return f"the value of {source}"
        case Statement():
            return f"{source} controls the output"


def _describe_block(block: SoftBlock) -> str:
    count = "a vector for each token of init" if block.count is None else f"vectors: {block.count}"
    start = f", starting from {block.init!r}" if block.init is not None else ""
    if block.via is not None:
        start += f", trained as the output of {'an LSTM' if block.via == 'lstm' else 'an MLP'}"
    if not block.train:
        start += ", not trained"
    if block.from_ is not None:
        by = "the model's states of " if block.from_by == "states" or block.late else ""
        start += f", with a part that depends on {by}the field {block.from_}"
    if block.layers == EMBEDDING:
        return f"{count}, block {block.key}{start}"
    layers = "all layers" if block.layers.last is None else f"layers {block.layers}"
    how = "replacing the hidden states" if block.mode == "replace" else "added to the hidden states"
    return f"{count}, block {block.key}{start}, at {layers}, {how}"
