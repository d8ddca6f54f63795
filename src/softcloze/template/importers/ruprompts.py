"""Templates of ruPrompts: `<P*20>{text}<P*10>`."""

import re
from typing import NoReturn

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import quoted
from softcloze.template.importers.common import field, finish
from softcloze.template.nodes import Literal, Mask, Node, Placed, Soft
from softcloze.template.tags import MAX_COUNT, whole

_PIECE = re.compile(
    r"<P>(?P<words>(?:(?!</?P[>*]).)+)</P>|<P\*(?P<count>[^\s<>{}]*)>|(?P<one><P>)|(?P<tag></?P(?![A-Za-z])>?)"
    r"|(?P<brace>\{\{|\}\})|\{(?P<field>[^{}]*)\}|(?P<stray>[{}])",
    re.DOTALL,
)
_BRACE = re.compile(r"(?P<literal>\{\{|\}\})|[{}]")


def read_ruprompts(text: str) -> list[Placed]:
    r"""Parse a ruPrompts template into nodes; ruPrompts generates text after it, so the mask goes at the end.

    `<P>` becomes one trainable vector and `<P*20>` twenty. `<P>words</P>` becomes one vector for each token of the
    words, initialised from it. `{text}` becomes a field. `{{` and `}}` are literal braces, as for `str.format`.

    Raises:
        TemplateSyntaxError: `text` breaks the rules of ruPrompts, or has no equivalent here.

    Source:
        Konodyuk, ruPrompts, 2022, https://github.com/ai-forever/ru-prompts.

    >>> from softcloze import Template
    >>> print(Template.from_ruprompts("<P*20>{text}<P*10>"))
    <soft*20><text><soft*10><mask>
    >>> print(Template.from_ruprompts("<P>Passage:</P>{passage}<P>\nIs it so:</P>"))
    <soft init="Passage:"><passage><soft init="\nIs it so:"><mask>
    """
    placed: list[Placed] = []
    at = 0
    for match in _PIECE.finditer(text):
        placed.append(Placed(Literal(text[at : match.start()]), at, match.start()))
        placed.append(Placed(_node(match), *match.span()))
        at = match.end()
    placed.append(Placed(Literal(text[at:]), at, len(text)))
    placed.append(Placed(Mask(), len(text), len(text)))
    return finish(text, placed)


def _node(match: re.Match[str]) -> Node:
    match match.lastgroup:
        case "words":
            return _started_soft(match)
        case "count":
            count = whole(match["count"], MAX_COUNT)
            if count is None:
                _fail(
                    match,
                    f"expected a whole number from 1 to {MAX_COUNT} after '*', found {quoted(match['count'])}",
                    "count",
                )
            return Soft(count)
        case "one":
            return Soft()
        case "brace":
            return Literal(match[0][0])
        case "field":
            return _field(match)
        case "tag":
            _fail(match, "expected <P>, <P*20> or <P>words</P>")
        case _:
            _fail(match, f"a single {match[0]!r}: a field is written {{text}}, a literal brace twice, {match[0] * 2!r}")


def _started_soft(match: re.Match[str]) -> Soft:
    words = match["words"]
    if not all(brace["literal"] for brace in _BRACE.finditer(words)):
        _fail(
            match, "a field inside <P>…</P> cannot be expressed: the vectors start from the same words for all examples"
        )
    if not words.strip():
        _fail(match, "<P>…</P> holds no words to start the vectors from: write <P> or <P*10>")
    return Soft(init=_BRACE.sub(lambda brace: brace[0][0], words))


def _field(match: re.Match[str]) -> Node:
    name = match["field"].strip()
    if not name or re.search(r"[!:.\[]", name):
        advice = "only the name of a field, as in {text}"
        _fail(match, f"{quoted(match[0])} cannot be expressed: the braces may hold {advice}")
    return field(name, match.string, *match.span("field"))


def _fail(match: re.Match[str], problem: str, group: str | int = 0) -> NoReturn:
    raise TemplateSyntaxError(problem, match.string, *match.span(group))
