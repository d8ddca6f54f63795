"""What a template is made of, and how each part is written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands in every prompt as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """The place of a named column of the example."""

    name: str


@dataclass(frozen=True, slots=True)
class Soft:
    """A soft slot: `count` trainable vectors, started from the words of `init`, shared under `name`."""

    count: int | None = None
    init: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """The position whose predicted word the verbalizer reads."""


Node: TypeAlias = Literal | Field | Soft | Mask

_OPENING = re.compile(r"(?<!\\)(?P<backslashes>\\*+)<")  # the look-behind keeps long runs linear


def continues_name(text: str) -> bool:
    """Whether every character of `text` may stand inside a name.

    >>> continues_name("2nd"), continues_name("a-b")
    (True, False)
    """
    return f"_{text}".isidentifier()


def write(nodes: Sequence[Node]) -> list[str]:
    r"""The source of each node; joined, they parse back to `nodes`.

    >>> write([Literal("a <b> or \\"), Field("text"), Soft(3, 'It "is"', "task"), Mask()])
    ['a \\<b> or \\\\', '<text>', '<soft*3 init="It \\"is\\"" name=task>', '<mask>']
    """
    last = len(nodes) - 1
    return [_write_literal(n.text, i < last) if isinstance(n, Literal) else _write_tag(n) for i, n in enumerate(nodes)]


def _write_literal(text: str, tag_follows: bool) -> str:
    """Backslashes count only before a `<`: double them there, and add one where the `<` would open a tag."""
    written = _OPENING.sub(_escape, text)
    if tag_follows:
        written += "\\" * (len(text) - len(text.rstrip("\\")))
    return written


def _escape(opening: re.Match[str]) -> str:
    after = opening.string[opening.end() : opening.end() + 1]
    return opening["backslashes"] * 2 + ("\\<" if after.isidentifier() else "<")


def _write_tag(node: Field | Soft | Mask) -> str:
    match node:
        case Field(name):
            return f"<{name}>"
        case Mask():
            return "<mask>"
        case Soft(count, init, name):
            written = "<soft"
            if count is not None:
                written += f"*{count}"
            if init is not None:
                escaped = f"{init}".replace("\\", "\\\\").replace('"', '\\"')
                written += f' init="{escaped}"'
            if name is not None:
                written += f" name={name}"
            return f"{written}>"
