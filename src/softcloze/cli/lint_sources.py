"""Files that hold a template or label words, and where in them each character of those stands."""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softcloze.errors import FileError

STANDARD_INPUT = "-"
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'" r"|#[^\n]*",  # or a comment
    re.DOTALL,
)
_UNIT = re.compile(r"(?P<nothing>\\[^\S\n]*\n\s*)|\\(?:u.{4}|U.{8}|.)|.", re.DOTALL)  # how one character is written
_KEY_END = re.compile(r"[ \t]*[=.]")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file with a template or label words.

    Attributes:
        name: the file, as it was named.
        text: all that it holds.
        card: its table, if it is a card of the library or another TOML file.
        template: the template that it holds, if it holds one.
        places: index in `text` of each character of `template` and of its end.
    """

    name: str
    text: str
    card: Mapping[str, Any] | None = None
    template: str | None = None
    places: Sequence[int] = ()

    @property
    def words(self) -> Mapping[str, Any] | None:
        """The table of label words that it holds, if it holds one."""
        words = None if self.card is None else self.card.get("words")
        return words if isinstance(words, Mapping) else None

    def key_place(self, key: str) -> tuple[int, int]:
        """Where the line of a card begins that gives this key; its first line if none does."""
        found = re.search(rf"^[ \t]*\[?[\"']?{re.escape(key)}[\"']?[ \t]*[=\]]", self.text, re.MULTILINE)
        return (found.start(), found.end()) if found else (0, 0)

    def word_places(self, words: Sequence[str]) -> list[tuple[int, int]]:
        """Where each label word of a card stands, given in the order of the file."""
        strings = _strings(self.text, self.key_place("words")[0])
        places = []
        for word in words:
            place = next(((start, end) for value, start, end in strings if value == word), None)
            places.append(place if place is not None else self.key_place("words"))
        return places


class TomlError(ValueError):
    """A file that is no TOML, with the place where it stops being so."""

    def __init__(self, source: SourceFile, problem: str, at: int) -> None:
        super().__init__(source, problem, at)
        self.source, self.problem, self.at = source, problem, at


def read_source(name: str) -> SourceFile:
    """Read a file, or standard input for "-": a .toml file as a card, all others as one template.

    The end of the last line is no part of a template.

    Raises:
        FileError: the file cannot be read.
        TomlError: a .toml file is none.
    """
    text = _read(name).replace("\r\n", "\n")
    if not name.lower().endswith(".toml"):
        whole = text.removesuffix("\n")
        return SourceFile(name, text, template=whole, places=range(len(whole) + 1))
    try:
        card = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        problem, at = _toml_problem(str(error), text)
        raise TomlError(SourceFile(name, text), problem, at) from error
    template = card.get("template")
    if not isinstance(template, str):
        return SourceFile(name, text, card)
    return SourceFile(name, text, card, template, _template_places(text, template))


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).expanduser().read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{name} is not UTF-8 text: {error.reason} at byte {error.start}; convert it first") from error


def _toml_problem(message: str, text: str) -> tuple[str, int]:
    """The problem without its place, and that as an index."""
    found = _PLACE.search(message)
    if found is None:
        return message, 0
    if found[1] is None:
        return message[: found.start()], len(text)
    line_start = sum(len(line) + 1 for line in text.split("\n")[: int(found[1]) - 1])
    return message[: found.start()], min(line_start + int(found[2]) - 1, len(text))


def _strings(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """The strings of a TOML text that are no keys, from `start` on: value, start and end of what is written."""
    for found in _STRING.finditer(text, start):
        if not found[0].startswith("#") and _KEY_END.match(text, found.end()) is None:
            yield tomllib.loads(f"value = {found[0]}")["value"], *found.span()


def _template_places(text: str, template: str) -> Sequence[int]:
    r"""Where in a TOML text the characters of the template are written, and its end.

    >>> _template_places(r'template = "很\n<a>"', "很\n<a>")
    [12, 13, 15, 16, 17, 18]
    """
    for found in _STRING.finditer(text):
        line_start = text.rfind("\n", 0, found.start()) + 1
        if not re.fullmatch(r"[ \t]*[\"']?template[\"']?[ \t]*=[ \t]*", text[line_start : found.start()]):
            continue
        written = found[0]
        quotes = 3 if written.startswith(('"""', "'''")) else 1
        start, end = found.start() + quotes, found.end() - quotes
        if quotes == 3 and text.startswith("\n", start):
            start += 1
        units = _UNIT.finditer(text, start, end) if written.startswith('"') else ()
        places = [unit.start() for unit in units if unit["nothing"] is None] if units else list(range(start, end))
        if len(places) == len(template):
            return [*places, end]
    return []
