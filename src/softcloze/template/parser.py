"""Parse a template: from its source to nodes with their places."""

import re
from typing import NamedTuple, NoReturn

from softcloze.template.errors import TemplateSyntaxError, cut, did_you_mean, nearest
from softcloze.template.nodes import Field, Literal, Mask, Node, Soft, continues_name

MOST_VECTORS = 10_000
RESERVED = ("options", "demos", "bos", "eos", "sep", "cls")

_EXAMPLES = {"init": 'init="It is about"', "name": "name=task"}  # the attributes of <soft>

_OPENING = re.compile(r"<(?=[A-Za-z_]|[^\x00-\x7f])|(?<=\\)<")  # every `<` that may be more than a plain one
_PLAIN_TAG = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>")
_NAME = re.compile(r"[A-Za-z0-9_]+")  # the usual letters; others are looked at one by one
_SPACE = re.compile(r"\s+")
_COUNT = re.compile(r"[^\s<>]+")
_BARE = re.compile(r'[^\s<>="]+')
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')


class Placed(NamedTuple):
    """A node and the part of the source, `source[start:end]`, that it was read from."""

    node: Node
    start: int
    end: int


def parse(source: str) -> list[Placed]:
    r"""Read all nodes of a template, each rule but those between nodes checked.

    >>> [placed.node for placed in parse("1 < 2, \\<b>: <soft*4 init=about><text>")]
    [Literal(text='1 < 2, <b>: '), Soft(count=4, init='about', name=None), Field(name='text')]
    """
    placed: list[Placed] = []
    literal: list[str] = []
    start = at = 0  # of the literal being gathered; of what is still to be read

    def finish_literal(end: int) -> None:
        text = "".join(literal)
        literal.clear()
        if text:
            placed.append(Placed(Literal(text), start, end))

    for found in _OPENING.finditer(source):
        opening = found.start()
        if opening < at:  # inside the quotes of a tag
            continue
        before = source[at:opening]
        kept = before.rstrip("\\")
        backslashes = len(before) - len(kept)
        literal.append(kept + "\\" * (backslashes // 2))
        if backslashes % 2 == 0 and source[opening + 1 : opening + 2].isidentifier():
            finish_literal(opening)
            placed.append(read_tag(source, opening))
            start = at = placed[-1].end
        else:
            literal.append("<")
            at = opening + 1
    literal.append(source[at:])
    finish_literal(len(source))
    return placed


def read_tag(source: str, start: int) -> Placed:
    """Read the tag whose `<` is at `start`.

    >>> read_tag("It was <mask>", 7)
    Placed(node=Mask(), start=7, end=13)
    """
    plain = _PLAIN_TAG.match(source, start)  # most tags are; the reader would say the same, more slowly
    if plain is not None and plain[1] not in RESERVED:
        return Placed(_node(plain[1], None, {}), start, plain.end())
    return _TagReader(source, start).read()


def _node(name: str, count: int | None, attributes: dict[str, str]) -> Node:
    match name:
        case "soft":
            return Soft(count, attributes.get("init"), attributes.get("name"))
        case "mask":
            return Mask()
        case _:
            return Field(name)


class _TagReader:
    """Reads one tag from left to right; `at` is the next character to look at."""

    def __init__(self, source: str, start: int) -> None:
        self.source, self.start, self.at = source, start, start + 1
        self.name = self._name()
        self.head_end = self.at

    def read(self) -> Placed:
        if not self.name:
            self._fail("expected a name after '<'", self.start, self.at)
        if self.name in RESERVED:
            self._fail(f"<{self.name}> is reserved and cannot be a field", self.start, self.head_end)
        count = self._count()
        attributes = self._attributes()
        return Placed(_node(self.name, count, attributes), self.start, self.at)

    def _count(self) -> int | None:
        if self._next() != "*":
            return None
        star = self.at
        self.at += 1
        token = self._run(_COUNT)
        if self.name != "soft":
            self._check_closed()
            self._fail(f"{self._kind()} takes no count{self._meant_soft(f'*{token}')}", self.start + 1, self.at)
        expected = f"expected a whole number from 1 to {MOST_VECTORS} after '*'"
        if not token:
            self._fail(f"{expected}, as in <soft*10>", star, self.at)
        digits = token.lstrip("0")  # int() refuses thousands of digits, so look at the length first
        fits = token.isascii() and token.isdecimal() and 0 < len(digits) <= len(str(MOST_VECTORS))
        if not fits or int(digits) > MOST_VECTORS:
            self._fail(f"{expected}, found {cut(repr(token))}", star + 1, self.at)
        return int(digits)

    def _attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while True:
            space = self._run(_SPACE)
            if self._next() == ">":
                self.at += 1
                return found
            if not space:
                self._check_closed()
                self._fail(f"expected white space or '>', found {self._next()!r}", self.at, self.at + 1)
            key = self._key(found)
            found[key] = self._value(key)

    def _key(self, found: dict[str, str]) -> str:
        """Read `key=`, the key known and new."""
        start = self.at
        key = self._name()
        has_value = bool(key) and self._next() == "="
        if not has_value:
            self._check_closed()
        if not key:
            self._stray()
        if self.name != "soft":
            meant = self._meant_soft("") if key in _EXAMPLES else ""
            self._fail(f"{self._kind()} takes no attributes, found {cut(repr(key))}{meant}", start, self.at)
        if key not in _EXAMPLES:
            known = f"it takes {' and '.join(_EXAMPLES)}{did_you_mean(key, _EXAMPLES)}"
            self._fail(f"<soft> has no attribute {cut(repr(key))}: {known}", start, self.at)
        if key in found:
            self._fail(f"{key} is given twice in one tag", start, self.at)
        if not has_value:
            self._fail(f"expected '=' right behind {key}, as in {_EXAMPLES[key]}", start, self.at)
        self.at += 1
        return key

    def _value(self, key: str) -> str:
        """Read a word, a number or quoted text, and check it for `key`."""
        start = self.at
        value = self._quoted() if self._next() == '"' else self._bare(key)
        if key == "name" and not value.isidentifier():
            self._fail(f"name must be an identifier, as in {_EXAMPLES[key]}, found {cut(repr(value))}", start, self.at)
        if not value.strip():
            self._fail(f"{key} holds no words, expected some as in {_EXAMPLES[key]}", start, self.at)
        return value

    def _quoted(self) -> str:
        quoted = _QUOTED.match(self.source, self.at)
        if quoted is None:
            self._fail("this quote is never closed: expected another '\"'", self.at, self.at + 1)
        self.at = quoted.end()
        return _ESCAPED.sub(r"\1", quoted[1])

    def _bare(self, key: str) -> str:
        start = self.at
        bare = self._run(_BARE)
        if not bare:
            self._fail(f"{key} needs a value right behind '=', as in {_EXAMPLES[key]}", start - len(key) - 1, start)
        if not continues_name(re.sub(r"[-+.]", "", bare)):
            self._fail(f"put {cut(bare)!r} in plain double quotes, as in {_EXAMPLES['init']}", start, self.at)
        return bare

    def _name(self) -> str:
        """Read the longest identifier that starts here; empty if none does."""
        start = self.at
        if self._next().isidentifier():
            self._run(_NAME)
            while self._next() and continues_name(self._next()):
                self.at += 1
        return self.source[start : self.at]

    def _next(self) -> str:
        """The next character, empty at the end."""
        return self.source[self.at : self.at + 1]

    def _run(self, pattern: re.Pattern[str]) -> str:
        """Read what `pattern` matches here, empty if nothing."""
        found = pattern.match(self.source, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def _kind(self) -> str:
        return "<mask>" if self.name == "mask" else f"the field <{cut(self.name)}>"

    def _meant_soft(self, behind: str) -> str:
        return "" if nearest(self.name, ["soft"]) is None else f"; did you mean <soft{cut(behind)}>?"

    def _stray(self) -> NoReturn:
        hint = "the count goes right behind the name, as in <soft*10>"
        if self.name == "soft" and (self._next() == "*" or self._next().isdecimal()):
            self._fail(f"unexpected {self._next()!r}: {hint}", self.at, self.at + 1)
        expected = f"{_EXAMPLES['init']} or '>'" if self.name == "soft" else "'>'"
        self._fail(f"expected {expected}, found {self._next()!r}", self.at, self.at + 1)

    def _check_closed(self) -> None:
        """Complain of the tag as a whole if another one, or the end, comes before a `>`."""
        closing, opening = self.source.find(">", self.at), self.source.find("<", self.at)
        if closing < 0 or 0 <= opening < closing:
            problem = f"this tag is never closed: expected '>', or \\<{cut(self.name)} for a literal '<'"
            self._fail(problem, self.start, self.head_end)

    def _fail(self, problem: str, start: int, end: int) -> NoReturn:
        raise TemplateSyntaxError(problem, self.source, start, end)
