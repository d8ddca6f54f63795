"""Parse one tag of a template: its name, count and attributes."""

import keyword
import re
from collections.abc import Iterable
from functools import partial
from typing import NoReturn, get_args

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import abbreviate, did_you_mean, nearest, quoted
from softcloze.template.nodes import CHAT, Field, Placed, Role, continues_name, field_head
from softcloze.template.tags import FIELD, MAX_COUNT, TAGS, Tag, whole

_NAME = re.compile(r"[A-Za-z0-9_]+")  # ASCII letters; others are tested one by one
_SPACE = re.compile(r"\s+")
_WORDS = re.compile(r"[^\W_][\w .-]*(?=>)")  # the name of a column without its quotes
_COUNT = re.compile(r"[^\s<>]+")
_BARE = re.compile(r'[^\s<>="]+')
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\nt])')
_ESCAPES = {"n": "\n", "t": "\t"}


def read_tag(source: str, start: int) -> Placed:
    """Parse the tag that opens at `start`.

    >>> read_tag("It was <mask>", 7)
    Placed(node=Mask(count=None, name=None), start=7, end=13)
    """
    return _TagReader(source, start).read()


class _TagReader:
    """Parses one tag from left to right; `at` is the index of the next character."""

    def __init__(self, source: str, start: int) -> None:
        self.source, self.start, self.at = source, start, start + 1
        is_quoted = self._next() == '"'
        self.name = self._quoted_name() if is_quoted else self._name()
        if source.startswith(CHAT, start + 1):
            self.name = self._chat()
        self.head_end = self.at
        self.is_field = is_quoted or self.name not in TAGS
        self.tag = Tag(partial(Field, self.name), FIELD) if self.is_field else TAGS[self.name]

    def read(self) -> Placed:
        if not self.name:
            self._fail("expected a name after '<'", self.start, self.at)
        values = self._count() | self._attributes()
        arguments = {f"{key}_" if keyword.iskeyword(key) else key: value for key, value in values.items()}
        return Placed(self.tag.make(**arguments), self.start, self.at)

    def _quoted_name(self) -> str:
        """Read the name of a field in quotes."""
        if _QUOTED.match(self.source, self.at) is None:
            problem = "this quote is never closed: expected another '\"', or \\<\" for a literal '<'"
            self._fail(problem, self.at, self.at + 1)
        name = self._quoted()
        if not name.strip():
            self._fail("the name in quotes is blank: expected that of a field", self.start + 1, self.at)
        return name

    def _chat(self) -> str:
        """Read the rest of the name of a turn, with its role."""
        self.at = self.start + 1 + len(CHAT)
        role, roles = self._name(), get_args(Role)
        if role not in roles:
            near = nearest(role, roles)
            hint = f"; did you mean <{CHAT}{near}>?" if near is not None else f" (a literal '<' is written \\<{CHAT})"
            problem = f"expected system, user or assistant after {CHAT!r}, found {quoted(role)}{hint}"
            self._fail(problem, self.start, self.at)
        return f"{CHAT}{role}"

    def _count(self) -> dict[str, object]:
        if self._next() != "*":
            return {}
        star = self.at
        self.at += 1
        token = self._run(_COUNT)
        if not self.tag.count:
            self._validate_closed()
            meant = self._meant((name for name, tag in TAGS.items() if tag.count), f"*{token}")
            if self.name == "P":
                meant = "; read ruPrompts' templates with Template.from_ruprompts"
            self._fail(f"{self._kind()} takes no count{meant}", self.start + 1, self.at)
        expected = f"expected a whole number from 1 to {MAX_COUNT} after '*'"
        if not token:
            self._fail(f"{expected}, as in {self._counted()}", star, self.at)
        count = whole(token, MAX_COUNT)
        if count is None:
            self._fail(f"{expected}, found {quoted(token)}", star + 1, self.at)
        return {"count": count}

    def _attributes(self) -> dict[str, object]:
        values: dict[str, object] = {}
        while True:
            space = self._run(_SPACE)
            if self._next() == ">":
                self.at += 1
                return values
            if not space:
                self._validate_closed()
                problem = f"expected white space or '>', found {self._next()!r}{self._literally()}"
                self._fail(problem, self.at, self.at + 1)
            key = self._key(values)
            values[key] = self._value(key)

    def _key(self, values: dict[str, object]) -> str:
        """Parse `key=`; the key must be known and new."""
        start = self.at
        key = self._name()
        has_value = bool(key) and self._next() == "="
        if not has_value:
            self._validate_closed()
        if not key:
            self._stray()
        known = self.tag.attributes
        if key not in known:
            self._unknown(key, start)
        if key in values:
            self._fail(f"{key} is given twice in one tag", start, self.at)
        if not has_value:
            self._fail(f"expected '=' right after {key}, as in {known[key].example}", start, self.at)
        self.at += 1
        return key

    def _value(self, key: str) -> object:
        """Parse the value of `key`: a word, a number or quoted text."""
        start = self.at
        attribute = self.tag.attributes[key]
        text = self._quoted() if self._next() == '"' else self._bare(key)
        value = attribute.read(text)
        if value is None:
            expected = f"{key} must be {attribute.expected}, as in {attribute.example}"
            hint = did_you_mean(text, attribute.choices)
            self._fail(f"{expected}, found {quoted(text)}{hint}", start, self.at)
        return value

    def _quoted(self) -> str:
        quoted = _QUOTED.match(self.source, self.at)
        if quoted is None:
            self._fail("this quote is never closed: expected another '\"'", self.at, self.at + 1)
        self.at = quoted.end()
        return _ESCAPED.sub(lambda escaped: _ESCAPES.get(escaped[1], escaped[1]), quoted[1])

    def _bare(self, key: str) -> str:
        start = self.at
        bare = self._run(_BARE)
        example = self.tag.attributes[key].example
        if not bare:
            self._fail(f"{key} needs a value right after '=', as in {example}", start - len(key) - 1, start)
        if '"' in example and not continues_name(re.sub(r"[-+.]", "", bare)):
            self._fail(f"put {abbreviate(bare)!r} in plain double quotes, as in {example}", start, self.at)
        return bare

    def _name(self) -> str:
        """Read the longest identifier at the current position; empty if none."""
        start = self.at
        if self._next().isidentifier():
            self._run(_NAME)
            while self._next() and continues_name(self._next()):
                self.at += 1
        return self.source[start : self.at]

    def _next(self) -> str:
        """The next character; empty at the end."""
        return self.source[self.at : self.at + 1]

    def _run(self, pattern: re.Pattern[str]) -> str:
        """Read what `pattern` matches at the current position; empty if it does not match."""
        match = pattern.match(self.source, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def _kind(self) -> str:
        return f"the field <{abbreviate(field_head(self.name))}>" if self.is_field else f"<{self.name}>"

    def _counted(self) -> str:
        return f"<{self.name}*{self.tag.count}>"

    def _meant(self, names: Iterable[str], suffix: str = "") -> str:
        """The end of a message that suggests the tag of `names` most similar to the field's name."""
        near = nearest(self.name, names) if self.is_field else None
        return "" if near is None else f"; did you mean <{near}{abbreviate(suffix)}>?"

    def _literally(self) -> str:
        if not self.is_field:
            return ""
        hint, words = "", _WORDS.match(self.source, self.start + 1)
        if words is not None and not words[0].isidentifier():
            hint = f"; the name of a column goes in quotes, as in <{abbreviate(field_head(words[0]))}>"
        return f"{hint} (a literal '<' is written \\<{abbreviate(field_head(self.name))})"

    def _unknown(self, key: str, start: int) -> NoReturn:
        known = self.tag.attributes
        meant = self._meant(name for name, tag in TAGS.items() if key in tag.attributes)
        if not known:
            self._fail(f"{self._kind()} takes no attributes, found {quoted(key)}", start, self.at)
        *others, last = known
        takes = f"{', '.join(others)} and {last}" if others else f"only {last}"
        hint = meant or did_you_mean(key, known) or self._literally()
        self._fail(f"{self._kind()} has no attribute {quoted(key)}: it takes {takes}{hint}", start, self.at)

    def _stray(self) -> NoReturn:
        char = self._next()
        if self.tag.count and (char == "*" or char.isdecimal()):
            hint = f"the count goes right after the name, as in {self._counted()}"
            self._fail(f"unexpected {char!r}: {hint}", self.at, self.at + 1)
        examples = [attribute.example for attribute in self.tag.attributes.values()]
        expected = " or ".join([*examples[:1], "'>'"])
        self._fail(f"expected {expected}, found {char!r}{self._literally()}", self.at, self.at + 1)

    def _validate_closed(self) -> None:
        """Raise if another tag opens, or the source ends, before a `>`."""
        closing, opening = self.source.find(">", self.at), self.source.find("<", self.at)
        if closing < 0 or 0 <= opening < closing:
            head = abbreviate(field_head(self.name) if self.is_field else self.name)
            problem = f"this tag is never closed: expected '>', or \\<{head} for a literal '<'"
            self._fail(problem, self.start, self.head_end)

    def _fail(self, problem: str, start: int, end: int) -> NoReturn:
        raise TemplateSyntaxError(problem, self.source, start, end)
