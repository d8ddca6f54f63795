"""Render an inspection for the terminal and as an HTML page."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from softcloze.cli.console import plain
from softcloze.display import Column, Styled, Table, html_environment, rich_table
from softcloze.template import Template
from softcloze.template.describe import NAMES, as_html, describe
from softcloze.template.describe import STYLES as CSS

if TYPE_CHECKING:
    from softcloze.cli.inspect_view import Inspection, TokenView, WordView


STYLES = {
    "literal": "",
    "field": "cyan",
    "soft": "bold magenta",
    "mask": "bold yellow",
    "answer": "bold yellow",
    "stop": "yellow",
    "options": "blue",
    "demo": "green",
    "special": "dim",
    "turn": "dim",
    "logic": "italic",
}
CUT_STYLE = "strike red"


def mark(kind: str, kept: bool) -> str:
    """The letter for tokens of a kind; x for tokens that were cut."""
    if not kept:
        return "x"
    return {"special": ".", "stop": "e"}.get(kind, kind[0])


def inspection_lines(inspection: "Inspection", *, width: int) -> Iterator[RenderableType]:
    """Render the filled template, or its nodes without an example; then tokens and label words."""
    if inspection.filled:
        yield example_text(inspection.filled)
    else:
        yield rich_table(node_table(inspection.template))
    if inspection.tokens is not None:
        yield from token_lines(inspection.tokens, width=width)
    if inspection.words:
        yield rich_table(word_table(inspection.words))


def node_table(template: Template) -> Table:
    """A row for each node of a template."""
    nodes = describe(template.nodes, template.node_blocks)
    return Table(
        [
            Column("kind", [Styled(node.kind, STYLES[node.kind]) for node in nodes]),
            Column("meaning", [node.what for node in nodes]),
        ]
    )


def example_text(filled: Iterable[tuple[str, str]]) -> Text:
    """Render the filled template, each part in the style of its kind, and each chat turn on a line of its own."""
    pieces = Text()
    for kind, text in filled:
        if kind == "turn" and pieces.plain:
            pieces.append("\n")
        pieces.append_text(plain(text, STYLES[kind]))
    return pieces


def token_lines(view: "TokenView", *, width: int) -> Iterator[Text]:
    """Render tokens with their kinds below, in lines of `width` cells; then a legend with counts, and notes."""
    tokens, marks = Text(), Text()
    for cell in view.cells:
        first = cell.pieces[0]
        token = plain(cell.text, _style(first.kind, first.kept))
        under = Text.assemble(
            *((mark(piece.kind, piece.kept), _style(piece.kind, piece.kept)) for piece in cell.pieces)
        )
        gap = 1 + max(0, under.cell_len - token.cell_len)
        if tokens.cell_len and tokens.cell_len + token.cell_len > width:
            yield from (tokens, marks, Text())
            tokens, marks = Text(), Text()
        marks.append_text(under).append(" " * (token.cell_len + gap - under.cell_len))
        tokens.append_text(token).append(" " * gap)
    yield from (tokens, marks, Text())
    yield _legend(view)
    yield from map(Text, view.notes)


def word_table(words: "Sequence[WordView]") -> Table:
    """The label words with their tokens."""
    return Table(
        [
            Column("label", [word.label for word in words]),
            Column("word", [word.word for word in words]),
            Column("tokens", [word.tokens for word in words]),
            Column("count", [f"{word.count:,}" for word in words], is_number=True),
        ]
    )


def _style(kind: str, kept: bool) -> str:
    return STYLES[kind] if kept else CUT_STYLE


def _legend(view: "TokenView") -> Text:
    """Each kind with its mark, its name and its count."""
    parts = []
    for (kind, name, kept), count in view.counts.items():
        named = f"{kind} {name}" if name else kind
        if kept:
            parts.append(plain(f"{mark(kind, kept)} {named}: {count:,}", STYLES[kind]))
        else:
            parts.append(Text.assemble((mark(kind, kept), CUT_STYLE), plain(f" cut from {named}: {count:,}", "red")))
    return Text("   ").join(parts)


def page(inspection: "Inspection") -> str:
    """Render the HTML page; all text in it is escaped."""
    nodes, blocks = inspection.template.nodes, inspection.template.node_blocks
    return (
        html_environment()
        .get_template("cli/inspect.html")
        .render(
            inspection=inspection,
            drawn=as_html(nodes, blocks),
            parts=describe(nodes, blocks),
            mark=mark,
            names=NAMES,
            styles=CSS,
        )
    )
