"""Templates of ruPrompts: `<P*20>{text}<P*10>`."""

import re
from typing import NoReturn

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import quoted
from softcloze.template.importers.common import field, finish, validate_text
from softcloze.template.nodes import Literal, Mask, Node, Placed, Soft
from softcloze.template.tags import MOST, whole

_EXAMPLE = "<P*20>{text}<P*10>"
_PIECE = re.compile(
    r"<P>(?P<words>(?:(?!</?P[>*]).)+)</P>|<P\*(?P<count>[^\s<>{}]*)>|(?P<one><P>)|(?P<tag></?P(?![A-Za-z])>?)"
    r"|(?P<brace>\{\{|\}\})|\{(?P<field>[^{}]*)\}|(?P<stray>[{}])",
    re.DOTALL,
)
_BRACE = re.compile(r"(?P<literal>\{\{|\}\})|[{}]")


def read_ruprompts(text: str) -> list[Placed]:
    r"""Read a template of ruPrompts, which goes on to write a text behind it: there our mask stands, at the end.

    `<P>` becomes one trainable vector, `<P*20>` twenty, `<P>words</P>` as many as the words have tokens, starting
    from those, and `{text}` a field. `{{` and `}}` are literal braces, as for `str.format`.

    Raises:
        TemplateSyntaxError: it breaks the rules of ruPrompts, or says what ours cannot, with a caret.

    Source:
        Konodyuk, ruPrompts, 2022, https://github.com/ai-forever/ru-prompts.

    >>> from softcloze import Template
    >>> print(Template.from_ruprompts("<P*20>{text}<P*10>"))
    <soft*20><text><soft*10><mask>
    >>> print(Template.from_ruprompts("<P>Passage:</P>{passage}<P>\nIs it so:</P>"))
    <soft init="Passage:"><passage><soft init="\nIs it so:"><mask>
    """
    validate_text(text, _EXAMPLE)
    placed: list[Placed] = []
    at = 0
    for found in _PIECE.finditer(text):
        placed.append(Placed(Literal(text[at : found.start()]), at, found.start()))
        placed.append(Placed(_node(found), *found.span()))
        at = found.end()
    placed.append(Placed(Literal(text[at:]), at, len(text)))
    placed.append(Placed(Mask(), len(text), len(text)))
    return finish(text, placed)


def _node(found: re.Match[str]) -> Node:
    match found.lastgroup:
        case "words":
            return _started_soft(found)
        case "count":
            count = whole(found["count"], MOST)
            if count is None:
                _fail(
                    found,
                    f"expected a whole number from 1 to {MOST} after '*', found {quoted(found['count'])}",
                    "count",
                )
            return Soft(count)
        case "one":
            return Soft()
        case "brace":
            return Literal(found[0][0])
        case "field":
            return _field(found)
        case "tag":
            _fail(found, "expected <P>, <P*20> or <P>words</P>")
        case _:
            _fail(found, f"a single {found[0]!r}: a field is written {{text}}, a literal brace twice, {found[0] * 2!r}")


def _started_soft(found: re.Match[str]) -> Soft:
    words = found["words"]
    if not all(brace["literal"] for brace in _BRACE.finditer(words)):
        _fail(
            found, "a field inside <P>…</P> cannot be expressed: the vectors start from the same words for all examples"
        )
    if not words.strip():
        _fail(found, "<P>…</P> holds no words to start the vectors from: write <P> or <P*10>")
    return Soft(init=_BRACE.sub(lambda brace: brace[0][0], words))


def _field(found: re.Match[str]) -> Node:
    name = found["field"].strip()
    if not name or re.search(r"[!:.\[]", name):
        advice = "only the name of a field, as in {text}"
        _fail(found, f"{quoted(found[0])} cannot be expressed: the braces may hold {advice}")
    return field(name, found.string, *found.span("field"))


def _fail(found: re.Match[str], problem: str, group: str | int = 0) -> NoReturn:
    raise TemplateSyntaxError(problem, found.string, *found.span(group))
