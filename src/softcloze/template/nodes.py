"""The nodes of a template, and how each is written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal as OneOf
from typing import NamedTuple, TypeAlias, get_args

Keep: TypeAlias = OneOf["head", "tail", "ends"]
SpecialKind: TypeAlias = OneOf["bos", "eos", "sep", "cls"]
Mode: TypeAlias = OneOf["add", "replace"]
Via: TypeAlias = OneOf["mlp", "lstm"]
FromBy: TypeAlias = OneOf["embeddings", "states"]
Role: TypeAlias = OneOf["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that appears in every prompt unchanged."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the example.

    Attributes:
        name: name of the field.
        max: maximal number of tokens; None for as many as fit.
        keep: side that truncation keeps: the first tokens, the last, or both ends.
        shorten: weight in truncation: 0 for never shortened, 2 for twice as soon as other fields.
    """

    name: str
    max: int | None = None
    keep: Keep = "head"
    shorten: float = 1.0


@dataclass(frozen=True, slots=True)
class LayerRange:
    """The layers of a model at which soft vectors enter; at layer 0 they are input embeddings.

    Attributes:
        first: index of the first of them.
        last: index of the last of them; None for the last layer of the model.
    """

    first: int = 0
    last: int | None = 0

    def later(self, layers: int) -> range:
        """The indices from 1 on, for a model with this many layers.

        >>> [*LayerRange(0, None).later(4)], [*LayerRange(2, 3).later(4)], [*LayerRange().later(4)]
        ([1, 2, 3], [2, 3], [])
        """
        return range(max(1, self.first), (layers if self.last is None else self.last + 1))

    def __str__(self) -> str:
        if self.last is None:
            return "all"
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


EMBEDDING = LayerRange()  # layer 0 alone


@dataclass(frozen=True, slots=True)
class Soft:
    """A soft slot: `count` trainable vectors, initialised from the words of `init`, shared under `name`.

    Attributes:
        count: their number.
        init: words whose embeddings they start from.
        name: name of the block that they share with other slots.
        layers: the layers at which they enter.
        mode: whether they are added to the hidden states in front of later layers, or replace them.
        via: the network whose output their input embeddings are while they are trained.
        train: False for vectors that `fit` leaves as they are.
        from_: the field that they depend on; written `from=`.
        from_by: whether they depend on its input embeddings or on the states of the model.
    """

    count: int | None = None
    init: str | None = None
    name: str | None = None
    layers: LayerRange | None = None
    mode: Mode | None = None
    via: Via | None = None
    train: bool | None = None
    from_: str | None = None
    from_by: FromBy | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """The position of the label word; `count` fixes its number of tokens.

    Several masks of one template have a `name` each, which the verbalizer refers to.
    """

    count: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The position at which the model writes free text; literal text that follows it to the end is the stop string.

    Attributes:
        max: maximal number of new tokens, end included; None for no limit of its own.
        keep: side that a demonstration keeps of an answer with more tokens than `max`; no other answer is shortened.
    """

    max: int | None = None
    keep: Keep = "head"


@dataclass(frozen=True, slots=True)
class Options:
    """The label words, joined by `sep`; with `field` the texts of the list that this field of an example holds."""

    sep: str = ", "
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Demos:
    """Labelled demonstrations, `count` in all or one of each label, each followed by `sep`.

    In a template with chat turns each is turns of its own, and nothing follows it.
    """

    count: int | None = None
    sep: str = "\n\n"


@dataclass(frozen=True, slots=True)
class Special:
    """The tokenizer's special token of this kind."""

    kind: SpecialKind


@dataclass(frozen=True, slots=True)
class Turn:
    """The start of a chat turn, which lasts to the next one; the tokenizer's chat template frames it."""

    role: Role


@dataclass(frozen=True, slots=True)
class Expression:
    """A Jinja expression, replaced by its value: `{{ source }}`; `edges` parses the `-` of `{{-`."""

    source: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A Jinja statement, which controls the output: `{% source %}`; `edges` parses the `-` of `{%-`."""

    source: str


Node: TypeAlias = Literal | Field | Soft | Mask | Answer | Options | Demos | Special | Turn | Expression | Statement


class Placed(NamedTuple):
    """A node and its span in the source, `source[start:end]`."""

    node: Node
    start: int
    end: int


RESERVED = ("soft", "mask", "answer", "options", "demos", *get_args(SpecialKind))  # names of other tags
CHAT = "chat:"  # in the tags of turns
_OPENING = re.compile(r"(?<!\\)(?P<backslashes>\\*+)[<{]")  # the look-behind keeps long runs linear
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})
_FREE_TEXT = ("init", "sep")  # attributes that are always written in quotes


def continues_name(text: str) -> bool:
    """Return whether every character of `text` is allowed inside a name.

    >>> continues_name("2nd"), continues_name("a-b")
    (True, False)
    """
    return f"_{text}".isidentifier()


def opens(source: str, at: int) -> bool:
    """Return whether the `<` or `{` at `at` opens a tag, a comment or Jinja; ignore backslashes before it.

    >>> opens("<text>", 0), opens('<"a b">', 0), opens("<!-- -->", 0), opens("{% if", 0)
    (True, True, True, True)
    >>> opens("1 < 2", 2), opens("{text}", 0)
    (False, False)
    """
    after = source[at + 1 : at + 2]
    if source[at] == "{":
        return after in ("{", "%")
    return after == '"' or after.isidentifier() or source.startswith("!--", at + 1)


def edges(source: str) -> tuple[bool, str, bool]:
    """Split the `source` of an Expression or Statement: strip white space before it?, the Jinja, strip after it?

    A `-` at an edge belongs to the braces if a space separates it from the rest; `{{ -x }}` has the source `-x`.

    >>> edges("- text | trim -"), edges("-x"), edges("endif -")
    ((True, 'text | trim', True), (False, '-x', False), (False, 'endif', True))
    """
    before = source.startswith("- ")
    inside = source[2:] if before else source
    after = inside.endswith(" -")
    return before, inside[:-2] if after else inside, after


def literal_text(text: str, nodes: Sequence[Node], i: int) -> str:
    """The text of the literal `nodes[i]`, without the white space that `-%}` before it or `{{-` after it strips.

    >>> literal_text(" a ", [Statement("if b -"), Literal(" a "), Expression("c")], 1)
    'a '
    """
    before, after = nodes[i - 1] if i else None, nodes[i + 1] if i + 1 < len(nodes) else None
    if isinstance(before, Expression | Statement) and edges(before.source)[2]:
        text = text.lstrip()
    if isinstance(after, Expression | Statement) and edges(after.source)[0]:
        text = text.rstrip()
    return text


def write(nodes: Sequence[Node]) -> list[str]:
    r"""Write each node as source; joined, the sources parse back to `nodes`.

    >>> write([Literal("a <b> or \\"), Field("text", max=9), Soft(3, 'It "is"', "task"), Expression("-x"), Mask()])
    ['a \\<b> or \\\\', '<text max=9>', '<soft*3 init="It \\"is\\"" name=task>', '{{ -x }}', '<mask>']
    """
    written: list[str] = []
    after = ""
    for node in reversed(nodes):  # the escapes of a literal depend on what follows it
        after = _write_literal(node.text, after) if isinstance(node, Literal) else _write_tag(node)
        written.append(after)
    return written[::-1]


def _write_literal(text: str, after: str) -> str:
    """Escape a literal: double backslashes before `<` and `{`, and add one where these would open something."""
    following = after[:2]
    whole = text + following

    def escape(opening: re.Match[str]) -> str:
        at = opening.end() - 1
        backslash = "\\" if at < len(text) and opens(whole, at) else ""
        return opening["backslashes"] * 2 + backslash + whole[at]

    return _OPENING.sub(escape, whole).removesuffix(following)


def _write_tag(node: Node) -> str:
    match node:
        case Expression(source):
            return _write_jinja(f"{source}", "{{", "}}")
        case Statement(source):
            return _write_jinja(f"{source}", "{%", "%}")
    given = {item.name: value for item in fields(node) if (value := getattr(node, item.name)) != item.default}
    match node:
        case Field():
            head = field_head(given.pop("name"))
        case Special():
            head = given.pop("kind")
        case Turn():
            head = f"{CHAT}{given.pop('role')}"
        case _:
            head = type(node).__name__.lower()
    count = f"*{given.pop('count')}" if "count" in given else ""
    attributes = (f" {key.rstrip('_')}={_write_value(key, value)}" for key, value in given.items())
    return f"<{head}{count}{''.join(attributes)}>"


def field_head(name: str) -> str:
    r"""Write the name of a field in its tag: in quotes unless it is an identifier that is the name of no other tag.

    >>> field_head("text"), field_head("review text"), field_head("mask")
    ('text', '"review text"', '"mask"')
    """
    return name if name.isidentifier() and name not in RESERVED else f'"{name.translate(_ESCAPES)}"'


def _write_value(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in _FREE_TEXT:
        return f'"{f"{value}".translate(_ESCAPES)}"'
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _write_jinja(source: str, opening: str, closing: str) -> str:
    before, inside, after = edges(source)
    return f"{opening}{'-' * before} {inside} {'-' * after}{closing}"
