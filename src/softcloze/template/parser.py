"""Parse a template: from source to nodes with their spans."""

import re
from typing import NamedTuple

from softcloze.errors import TemplateSyntaxError
from softcloze.template.nodes import Expression, Literal, Placed, Statement, opens
from softcloze.template.tag_parser import read_tag

_OPENING = re.compile(r"<(?=[A-Za-z_!\"]|[^\x00-\x7f])|\{(?=[{%])|(?<=\\)[<{]")  # openings or escapes, perhaps
_QUOTE = r""""(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'|["']"""  # a whole Jinja string, or a quote that is never closed


class _Braces(NamedTuple):
    """One kind of Jinja; `inside` matches its closing braces, or a string, which may contain the same characters."""

    node: type[Expression | Statement]
    closing: str
    inside: re.Pattern[str]
    expected: str


_BRACES = {
    "{{": _Braces(Expression, "}}", re.compile(_QUOTE + "|}}", re.DOTALL), "an expression, as in {{ text | trim }}"),
    "{%": _Braces(Statement, "%}", re.compile(_QUOTE + "|%}", re.DOTALL), "a statement, as in {% if title %}"),
}


def parse(source: str) -> list[Placed]:
    r"""Parse all nodes of a template, without the rules that concern several nodes.

    >>> [placed.node for placed in parse("1 < 2, \\<b>: <!-- really? --><mask*4>{{ text }}")]
    [Literal(text='1 < 2, <b>: '), Mask(count=4, name=None), Expression(source='text')]
    """
    placed: list[Placed] = []
    literal: list[str] = []
    start = end = at = 0  # span of the pending literal; position of the unread rest

    def gather(text: str, upto: int) -> None:
        nonlocal start, end
        if text:
            start = start if literal else at
            end = upto
            literal.append(text)

    def finish_literal() -> None:
        if literal:
            placed.append(Placed(Literal("".join(literal)), start, end))
            literal.clear()

    for match in _OPENING.finditer(source):
        opening = match.start()
        if opening < at:  # inside a comment, Jinja or the quotes of a tag
            continue
        before = source[at:opening]
        kept = before.rstrip("\\")
        backslashes = len(before) - len(kept)
        text = kept + "\\" * (backslashes // 2)
        if backslashes % 2 or not opens(source, opening):
            gather(text + match[0], opening + 1)
            at = opening + 1
        elif source.startswith("<!", opening):
            gather(text, opening)
            at = _comment_end(source, opening)
        else:
            gather(text, opening)
            finish_literal()
            placed.append(read_node(source, opening))
            at = placed[-1].end
    gather(source[at:], len(source))
    finish_literal()
    return placed


def read_node(source: str, start: int) -> Placed:
    """Parse the tag or Jinja that opens at `start`.

    >>> read_node("It was {{ '}}' ~ text }}", 7)
    Placed(node=Expression(source="'}}' ~ text"), start=7, end=24)
    """
    braces = _BRACES.get(source[start : start + 2])
    if braces is None:
        return read_tag(source, start)
    end = _end(source, start, braces)
    inside = _inside(source[start + 2 : end - 2])
    if not inside:
        raise TemplateSyntaxError(f"nothing inside: expected {braces.expected}", source, start, end)
    return Placed(braces.node(inside), start, end)


def _end(source: str, start: int, braces: _Braces) -> int:
    """The end of the Jinja that opens at `start`."""
    for token in braces.inside.finditer(source, start + 2):
        if token[0] == braces.closing:
            return token.end()
        if len(token[0]) == 1:
            problem = f"this quote is never closed: expected another {token[0]!r}"
            raise TemplateSyntaxError(problem, source, token.start(), token.end())
    opening = source[start : start + 2]
    problem = f"this {opening!r} is never closed: expected {braces.closing!r}, or \\{opening} for a literal one"
    raise TemplateSyntaxError(problem, source, start, start + 2)


def _inside(source: str) -> str:
    """Normalise the text between the braces to the form of a node's `source` (see `edges`); empty if blank."""
    before = source.startswith("-")
    after = source[before:].endswith("-")
    inside = source[before : len(source) - after].strip()
    if inside.startswith("-"):
        inside = "-" + inside[1:].lstrip()
    if inside.endswith("-"):
        inside = inside[:-1].rstrip() + "-"
    return f"{'- ' * before}{inside}{' -' * after}" if inside else ""


def _comment_end(source: str, start: int) -> int:
    end = source.find("-->", start + 4)
    if end < 0:
        problem = "this comment is never closed: expected '-->', or \\<!-- for literal text"
        raise TemplateSyntaxError(problem, source, start, start + 4)
    return end + 3
