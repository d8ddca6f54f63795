"""The tags of a template, with the attributes and counts that each takes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

from softcloze.template.nodes import (
    CHAT,
    Answer,
    Demos,
    FromBy,
    Keep,
    LayerRange,
    Mask,
    Mode,
    Node,
    Options,
    Role,
    Soft,
    Special,
    SpecialKind,
    Turn,
    Via,
)

MAX_COUNT = 10_000  # largest count after a `*`
MAX_TOKENS = 1_000_000
MAX_LAYER = 999  # index of a layer
_NUMBER = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,3})?")
_LAYERS = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")


def whole(text: str, most: int) -> int | None:
    """Parse a whole number from 1 to `most`; None if `text` is not one.

    >>> whole("007", 10), whole("11", 10), whole("-3", 10)
    (7, None, None)
    """
    digits = text.lstrip("0")  # int() rejects thousands of digits, so test the length first
    fits = text.isascii() and text.isdecimal() and 0 < len(digits) <= len(str(most)) and int(digits) <= most
    return int(digits) if fits else None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) and float(text) <= 1000 else None


def _layers(text: str) -> LayerRange | None:
    """Parse a layer, the first and the last of several, or "all"; None for any other text.

    >>> _layers("all"), _layers("6-11"), _layers("11-6")
    (LayerRange(first=0, last=None), LayerRange(first=6, last=11), None)
    """
    if text == "all":
        return LayerRange(0, None)
    match = _LAYERS.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return LayerRange(first, last) if first <= last else None


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a tag.

    Attributes:
        read: parses the text of a value; None if invalid.
        expected: description of valid values, for messages.
        example: an example of the attribute, for messages.
        choices: all values, if there are few.
    """

    read: Callable[[str], object | None]
    expected: str
    example: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag with its attributes; `count` is an example of a count, empty if the tag takes none."""

    make: Callable[..., Node]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    count: str = ""


_KEEP: tuple[str, ...] = get_args(Keep)
_MODES: tuple[str, ...] = get_args(Mode)
_VIAS: tuple[str, ...] = get_args(Via)
_FROM_BY: tuple[str, ...] = get_args(FromBy)
_YES_OR_NO = {"yes": True, "no": False}
_SEP = Attribute(str, "text", 'sep=" / "')


def _name(example: str, key: str = "name") -> Attribute:
    return Attribute(lambda text: text if text.isidentifier() else None, "an identifier", f"{key}={example}")


_SOFT = {
    "init": Attribute(lambda text: text if text.strip() else None, "one word or more", 'init="It is about"'),
    "name": _name("task"),
    "layers": Attribute(
        _layers, f"all, a layer from 0 to {MAX_LAYER}, or the first and the last of several", "layers=6-11", ("all",)
    ),
    "mode": Attribute(lambda text: text if text in _MODES else None, "add or replace", "mode=replace", _MODES),
    "via": Attribute(lambda text: text if text in _VIAS else None, "mlp or lstm", "via=mlp", _VIAS),
    "train": Attribute(_YES_OR_NO.get, "yes or no", "train=no", (*_YES_OR_NO,)),
    "from": _name("text", "from"),
    "from_by": Attribute(
        lambda text: text if text in _FROM_BY else None, "embeddings or states", "from_by=states", _FROM_BY
    ),
}
FIELD = {
    "max": Attribute(partial(whole, most=MAX_TOKENS), f"a whole number from 1 to {MAX_TOKENS}", "max=200"),
    "keep": Attribute(lambda text: text if text in _KEEP else None, "head, tail or ends", "keep=tail", _KEEP),
    "shorten": Attribute(_number, "a number from 0 to 1000 with at most three decimals", "shorten=2"),
}
TAGS = {
    "soft": Tag(Soft, _SOFT, count="10"),
    "mask": Tag(Mask, {"name": _name("quality")}, count="2"),
    "answer": Tag(Answer, {key: FIELD[key] for key in ("max", "keep")}),
    "options": Tag(Options, {"sep": _SEP, "field": _name("choices", "field")}),
    "demos": Tag(Demos, {"sep": _SEP}, count="4"),
    **{kind: Tag(partial(Special, kind)) for kind in get_args(SpecialKind)},
    **{f"{CHAT}{role}": Tag(partial(Turn, role)) for role in get_args(Role)},
}
"""The tags other than fields; a field of one of these names is written in quotes."""


def is_field_name(name: object) -> bool:
    """Return whether a field can have the name without quotes: an identifier that is not a tag.

    >>> is_field_name("text_a"), is_field_name("a text"), is_field_name("mask")
    (True, False, False)
    """
    return isinstance(name, str) and name.isidentifier() and name not in TAGS
