"""softcloze inspect: an example as the model sees it, token by token."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from softcloze.cli.options import VerbalizerOption, read_fields, read_verbalizer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from softcloze.encoding import CompiledTemplate, Piece
    from softcloze.template import Node, Template
    from softcloze.verbalizer import Verbalizer

STYLES = {"special": "dim", "literal": "", "field": "cyan", "soft": "bold magenta", "mask": "bold yellow"}
MARKS = {"special": ".", "literal": "l", "field": "f", "soft": "s", "mask": "m"}
CUT, CUT_STYLE = "x", "strike red"
SLOT = "◆"  # a soft slot, which has no token


def inspect(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="A template, or its name in the library.")],
    text: Annotated[str | None, typer.Option(help="Text for the only field of the template.")] = None,
    field: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Text for one field; may be repeated.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Whose tokens to show: starter:NAME, a name on a hub, a folder, or a .gguf file."),
    ] = None,
    verbalizer: VerbalizerOption = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens a prompt may have; by default what the model takes.")
    ] = None,
) -> None:
    """Show what a template is made of, and with an example and a model every token and where it comes from.

    Under each token stands what it is: l literal, f field, s soft slot, m mask, a dot for a special token of the
    tokenizer, x for a token that was cut because the prompt is too long.
    """
    from softcloze.cli.console import results
    from softcloze.cli.errors import CommandError
    from softcloze.library import resolve_template
    from softcloze.template import read_fields as fill

    parsed = resolve_template(template)
    given = read_fields(field if field is not None else [])
    if text is not None and len(parsed.fields) != 1:
        raise CommandError(
            "--text is for templates with one field; this one has "
            f"{', '.join(map(repr, parsed.fields)) or 'none'}: give each with --field NAME=VALUE"
        )
    example = {**given, **({parsed.fields[0]: text} if text is not None else {})}
    unknown = [name for name in given if name not in parsed.fields]
    if unknown:
        raise CommandError(f"the template has no field {unknown[0]!r}; it has {', '.join(map(repr, parsed.fields))}")

    console = results()
    if not example and (model is None or parsed.fields):
        if model is not None:
            raise CommandError(
                "--model shows the tokens of an example: give one with --text TEXT or --field NAME=VALUE"
            )
        console.print(node_table(parsed))
        return
    values = fill(parsed, example)
    console.print(example_text(parsed, values), soft_wrap=True)
    if model is None:
        return

    from softcloze.cli.work import open_backbone
    from softcloze.encoding import CompiledTemplate, EncodingError
    from softcloze.estimator import resolve_verbalizer
    from softcloze.prompt import BoundPrompt
    from softcloze.verbalizer import VerbalizerError

    words = resolve_verbalizer(read_verbalizer(verbalizer, template))
    backbone = open_backbone(model)
    limit = backbone.max_length if max_length is None else min(max_length, backbone.max_length)
    compiled, answer, problem = CompiledTemplate(parsed, backbone.vocabulary, limit), 1, None
    if words is not None:
        try:
            BoundPrompt(parsed, words, backbone, max_length)
            answer = max(len(compiled.word_ids(word)) for word in words.all_words)
        except (EncodingError, VerbalizerError) as error:
            problem = error  # the tokens are worth a look all the more
    pieces = compiled.inspect(values, answer_length=answer)
    for part in token_view(pieces, width=console.width, limit=limit, answer=answer):
        console.print(part, soft_wrap=True)
    if problem is not None:
        raise problem
    if words is not None:
        console.print(word_table(words, compiled))


def node_table(template: "Template") -> "RenderableType":
    """The nodes of a template, one a row."""
    from rich import box
    from rich.table import Table

    from softcloze.cli.console import plain

    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("kind")
    shown.add_column("what")
    for i, node in enumerate(template.nodes):
        kind, what = _described(template, i, node)
        shown.add_row(plain(kind, STYLES[kind]), plain(what))
    return shown


def example_text(template: "Template", values: Mapping[str, str]) -> "Text":
    """The filled template, each part in the style of its kind."""
    from rich.text import Text

    from softcloze.cli.console import plain
    from softcloze.template import Field, Literal, Mask, Soft

    shown = Text()
    for i, node in enumerate(template.nodes):
        match node:
            case Literal(text):
                shown += plain(text, STYLES["literal"])
            case Field(name):
                shown += plain(values[name], STYLES["field"])
            case Soft():
                count = template.block_of(i).count
                shown += plain(SLOT if count is None else SLOT * count, STYLES["soft"])
            case Mask():
                shown += plain("<mask>", STYLES["mask"])
    return shown


def token_view(pieces: "Sequence[Piece]", *, width: int, limit: int, answer: int) -> "Iterator[Text]":
    """Tokens with their kinds below, in lines of `width` cells, and a legend that counts them.

    Args:
        pieces: the tokens.
        width: cells in a line.
        limit: positions that fit.
        answer: tokens of the longest label word, which the mask stands for.
    """
    from rich.text import Text

    tokens, marks = Text(), Text()
    for piece in pieces:
        token, mark = _token(piece), _mark(piece)
        gap = 1 + max(0, len(mark) - token.cell_len)
        if tokens.cell_len and tokens.cell_len + token.cell_len > width:
            yield from (tokens, marks, Text())
            tokens, marks = Text(), Text()
        tokens.append_text(token).append(" " * gap)
        marks.append(mark, _style(piece)).append(" " * (token.cell_len + gap - len(mark)))
    yield from (tokens, marks, Text())
    yield _legend(pieces)
    positions = sum(piece.kept for piece in pieces) - 1 + answer
    mask = "" if answer == 1 else f", {answer} of them kept for the label word in the mask's place"
    yield Text(f"{positions:,} of {limit:,} positions{mask}")


def word_table(verbalizer: "Verbalizer", compiled: "CompiledTemplate") -> "RenderableType":
    """The label words with their tokens."""
    from rich import box
    from rich.table import Table

    from softcloze.cli.console import plain

    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("label", "word", "tokens"):
        shown.add_column(name)
    for label, words in verbalizer.as_dict().items():
        for word in words:
            tokens = " ".join(compiled.vocabulary.token(i) for i in compiled.word_ids(word))
            shown.add_row(plain(label), plain(word), plain(tokens))
    return shown


def _described(template: "Template", i: int, node: "Node") -> tuple[str, str]:
    from softcloze.template import Field, Literal, Soft

    match node:
        case Literal(text):
            return "literal", repr(text)
        case Field(name):
            return "field", name
        case Soft():
            block = template.block_of(i)
            count = "a vector for each token of init" if block.count is None else f"vectors: {block.count}"
            start = f", starting from {block.init!r}" if block.init is not None else ""
            return "soft", f"{count}, block {block.key}{start}"
        case _:
            return "mask", "where the label word goes"


def _token(piece: "Piece") -> "Text":
    from softcloze.cli.console import plain

    return plain(SLOT if piece.kind == "soft" else piece.token, _style(piece))


def _mark(piece: "Piece") -> str:
    return MARKS[piece.kind] if piece.kept else CUT


def _style(piece: "Piece") -> str:
    return STYLES[piece.kind] if piece.kept else CUT_STYLE


def _legend(pieces: "Iterable[Piece]") -> "Text":
    """Each kind with its mark, its name and how often it occurs."""
    from rich.text import Text

    from softcloze.cli.console import plain

    counts = Counter((piece.kind, piece.name, piece.kept) for piece in pieces)
    parts = []
    for (kind, name, kept), count in counts.items():
        named = f"{kind} {name}" if name else kind
        if kept:
            parts.append(plain(f"{MARKS[kind]} {named}: {count:,}", STYLES[kind]))
        else:
            parts.append(Text.assemble((CUT, CUT_STYLE), plain(f" cut from {named}: {count:,}", "red")))
    return Text("   ").join(parts)
