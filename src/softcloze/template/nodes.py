"""What a template is made of, and how each part is written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal as OneOf
from typing import NamedTuple, TypeAlias

Keep: TypeAlias = OneOf["head", "tail", "ends"]
SpecialKind: TypeAlias = OneOf["bos", "eos", "sep", "cls"]


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands in every prompt as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """The place of a named column of the example.

    Attributes:
        name: of the column.
        max: tokens it may have at most; None for as many as fit.
        keep: which of its tokens stay when it is cut: the first, the last, or both ends.
        shorten: how soon it gives up tokens when the prompt is too long: 0 never, 2 twice as soon as others.
    """

    name: str
    max: int | None = None
    keep: Keep = "head"
    shorten: float = 1.0


@dataclass(frozen=True, slots=True)
class Soft:
    """A soft slot: `count` trainable vectors, started from the words of `init`, shared under `name`."""

    count: int | None = None
    init: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """The position whose predicted word the verbalizer reads; `count` fixes how many tokens it takes.

    Where there are several, each has a `name`, by which the verbalizer asks for it.
    """

    count: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The label words, joined by `sep`."""

    sep: str = ", "


@dataclass(frozen=True, slots=True)
class Demos:
    """Labelled demonstrations, `count` in all or one of each label, each followed by `sep`."""

    count: int | None = None
    sep: str = "\n\n"


@dataclass(frozen=True, slots=True)
class Special:
    """The tokenizer's own special token of that kind."""

    kind: SpecialKind


@dataclass(frozen=True, slots=True)
class Expression:
    """A Jinja expression, whose value stands in its place: `{{ source }}`; `edges` reads the `-` of `{{-`."""

    source: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A Jinja statement, which decides what comes out: `{% source %}`; `edges` reads the `-` of `{%-`."""

    source: str


Node: TypeAlias = Literal | Field | Soft | Mask | Options | Demos | Special | Expression | Statement


class Placed(NamedTuple):
    """A node and the part of the source, `source[start:end]`, that it was read from."""

    node: Node
    start: int
    end: int


_OPENING = re.compile(r"(?<!\\)(?P<backslashes>\\*+)[<{]")  # the look-behind keeps long runs linear
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})
_FREE_TEXT = ("init", "sep")  # attributes that are always written in quotes


def continues_name(text: str) -> bool:
    """Whether every character of `text` may stand inside a name.

    >>> continues_name("2nd"), continues_name("a-b")
    (True, False)
    """
    return f"_{text}".isidentifier()


def opens(source: str, at: int) -> bool:
    """Whether the `<` or `{` at `at` opens a tag, a comment or Jinja, backslashes before it aside.

    >>> opens("<text>", 0), opens("<!-- -->", 0), opens("{% if", 0), opens("1 < 2", 2), opens("{text}", 0)
    (True, True, True, False, False)
    """
    behind = source[at + 1 : at + 2]
    if source[at] == "{":
        return behind in ("{", "%")
    return behind.isidentifier() or source.startswith("!--", at + 1)


def edges(source: str) -> tuple[bool, str, bool]:
    """What an Expression's or Statement's `source` says: strip white space before it? the Jinja itself; and behind it?

    A `-` at an edge belongs to the braces where a space parts it from the rest; `{{ -x }}` has the source `-x`.

    >>> edges("- text | trim -"), edges("-x"), edges("endif -")
    ((True, 'text | trim', True), (False, '-x', False), (False, 'endif', True))
    """
    before = source.startswith("- ")
    inside = source[2:] if before else source
    behind = inside.endswith(" -")
    return before, inside[:-2] if behind else inside, behind


def literal_text(text: str, nodes: Sequence[Node], i: int) -> str:
    """The text of the literal `nodes[i]` without the white space that `-%}` before it or `{{-` behind it takes away.

    >>> literal_text(" a ", [Statement("if b -"), Literal(" a "), Expression("c")], 1)
    'a '
    """
    before, behind = nodes[i - 1] if i else None, nodes[i + 1] if i + 1 < len(nodes) else None
    if isinstance(before, Expression | Statement) and edges(before.source)[2]:
        text = text.lstrip()
    if isinstance(behind, Expression | Statement) and edges(behind.source)[0]:
        text = text.rstrip()
    return text


def write(nodes: Sequence[Node]) -> list[str]:
    r"""The source of each node; joined, they parse back to `nodes`.

    >>> write([Literal("a <b> or \\"), Field("text", max=9), Soft(3, 'It "is"', "task"), Expression("-x"), Mask()])
    ['a \\<b> or \\\\', '<text max=9>', '<soft*3 init="It \\"is\\"" name=task>', '{{ -x }}', '<mask>']
    """
    written: list[str] = []
    behind = ""
    for node in reversed(nodes):  # how a literal is written depends on what follows it
        behind = _write_literal(node.text, behind) if isinstance(node, Literal) else _write_tag(node)
        written.append(behind)
    return written[::-1]


def _write_literal(text: str, behind: str) -> str:
    """Backslashes count only before `<` and `{`: double them there, and add one where these would open something."""
    following = behind[:2]
    whole = text + following

    def escape(opening: re.Match[str]) -> str:
        at = opening.end() - 1
        backslash = "\\" if at < len(text) and opens(whole, at) else ""
        return opening["backslashes"] * 2 + backslash + whole[at]

    return _OPENING.sub(escape, whole).removesuffix(following)


def _write_tag(node: Node) -> str:
    match node:
        case Field(name, None, "head", 1.0):  # what the rest would say of most tags, sooner
            return f"<{name}>"
        case Expression(source):
            return _write_jinja(f"{source}", "{{", "}}")
        case Statement(source):
            return _write_jinja(f"{source}", "{%", "%}")
    given = {item.name: value for item in fields(node) if (value := getattr(node, item.name)) != item.default}
    match node:
        case Field():
            head = given.pop("name")
        case Special():
            head = given.pop("kind")
        case _:
            head = type(node).__name__.lower()
    count = f"*{given.pop('count')}" if "count" in given else ""
    return f"<{head}{count}{''.join(f' {key}={_write_value(key, value)}' for key, value in given.items())}>"


def _write_value(key: str, value: object) -> str:
    if key in _FREE_TEXT:
        return f'"{f"{value}".translate(_ESCAPES)}"'
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _write_jinja(source: str, opening: str, closing: str) -> str:
    before, inside, behind = edges(source)
    return f"{opening}{'-' * before} {inside} {'-' * behind}{closing}"
