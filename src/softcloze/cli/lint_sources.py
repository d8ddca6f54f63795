"""Read the files of softcloze lint: cards of the library, and files that hold one template."""

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softcloze.cli.options import read_text
from softcloze.errors import FileError

STANDARD_INPUT = "-"
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file with a template or label words.

    Attributes:
        name: the file, as it was named.
        text: its content.
        card: its table, if it is a TOML file.
        template: its template, if it has one.
    """

    name: str
    text: str
    card: Mapping[str, Any] | None = None
    template: str | None = None

    @property
    def words(self) -> Mapping[str, Any] | None:
        """Its table of label words, if it has one."""
        words = None if self.card is None else self.card.get("words")
        return words if isinstance(words, Mapping) else None

    def key_span(self, key: str) -> tuple[int, int]:
        """Start and end of a key of the card in `text`; (0, 0) if the card does not have it."""
        match = re.search(rf"^[ \t]*\[?[\"']?{re.escape(key)}[\"']?[ \t]*[=\]]", self.text, re.MULTILINE)
        return match.span() if match else (0, 0)


class TomlError(ValueError):
    """A file that is not valid TOML, with the index of the fault."""

    def __init__(self, source: SourceFile, problem: str, at: int) -> None:
        super().__init__(source, problem, at)
        self.source, self.problem, self.at = source, problem, at


def read_source(name: str) -> SourceFile:
    """Read a file, or standard input for "-": a .toml file as a card, any other as one template.

    The end of the last line does not belong to the template.

    Raises:
        FileError: the file cannot be read, or is not UTF-8.
        TomlError: a .toml file is not valid.
    """
    text = _read_standard_input() if name == STANDARD_INPUT else read_text(Path(name))
    if not name.lower().endswith(".toml"):
        return SourceFile(name, text, template=text.removesuffix("\n"))
    try:
        card = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        problem, at = _toml_problem(str(error), text)
        raise TomlError(SourceFile(name, text), problem, at) from error
    template = card.get("template")
    return SourceFile(name, text, card, template if isinstance(template, str) else None)


def _read_standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileError(f"standard input is not UTF-8 text: {error.reason}; convert it first") from error


def _toml_problem(message: str, text: str) -> tuple[str, int]:
    """Split a message of tomllib into the problem and the index of its position."""
    match = _TOML_PLACE.search(message)
    if match is None:
        return message, 0
    if match[1] is None:
        return message[: match.start()], len(text)
    line_start = sum(len(line) + 1 for line in text.split("\n")[: int(match[1]) - 1])
    return message[: match.start()], min(line_start + int(match[2]) - 1, len(text))
