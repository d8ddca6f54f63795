"""The filters and tests of template expressions, and their limits.

A value is None, a truth value, a number, text, or a list of these. Functions that grow text validate the length of the
result before they build it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from string import whitespace

MAX_CHARACTERS = 100_000_000
"""Largest work of a template's logic per example, in characters; enough for a few filters over a field of 10 MB."""
MAX_ITEMS = 100_000
_SENTENCE_MARKS = (
    ".,;:!?…‥⋯" + "。．｡，、､；：！？﹐﹒﹔﹕﹖﹗" + "،؛؟۔।॥"
)  # Western, Chinese and Japanese, Arabic, Indian
_FINAL = _SENTENCE_MARKS + whitespace + "\x85\xa0\u2028\u2029\u3000"
_WORD = re.compile(r"[^-\s({\[<]+")
_BEFORE_FIRST = re.compile(r"\W*")  # quotes, brackets and spaces before the first letter


class ExpressionError(Exception):
    """An invalid expression or value; this package catches it and adds row and position."""


class LimitError(ExpressionError):
    """More work for one example than the limits allow."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A missing value; `problem` returns the message."""

    problem: Callable[[], str]


def type_name(value: object) -> str:
    """The type of a value, for messages.

    >>> type_name("a"), type_name(None), type_name(True), type_name(1.5), type_name(["a"])
    ('text', 'None', 'a truth value', 'a number', 'a list')
    """
    match value:
        case None:
            return "None"
        case str():
            return "text"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case _:
            return "a list"


def text_of(value: object) -> str:
    """The value as text in a prompt.

    >>> text_of("很好"), text_of(4.5), text_of(True)
    ('很好', '4.5', 'True')
    """
    match value:
        case str():
            return value
        case None:
            raise ExpressionError(
                "expected text, found None: test it with {% if … %} first, or add | default('', true)"
            )
        case list():
            raise ExpressionError("expected text, found a list: iterate over it with {% for … %}, or add | join(', ')")
    try:
        return str(value)
    except ValueError as error:  # an int with thousands of digits
        raise ExpressionError(f"a number that cannot be written: {error}") from error


def validate_length(characters: int) -> None:
    """Raise if a text would have more characters than allowed."""
    if characters > MAX_CHARACTERS:
        raise LimitError(f"this makes a text of {characters} characters, more than {MAX_CHARACTERS} in all")


def join_texts(values: Iterable[object], sep: str = "") -> str:
    """Join the texts of `values` with `sep`, within the length limit."""
    texts = [text_of(value) for value in values]
    validate_length(sum(map(len, texts)) + len(sep) * max(len(texts) - 1, 0))
    return sep.join(texts)


def _trim(value: object, chars: object = None) -> str:
    return text_of(value).strip(None if chars is None else text_of(chars))


def _title(value: object) -> str:
    return _WORD.sub(lambda word: word[0][0].upper() + word[0][1:].lower(), text_of(value))


def _strip_punctuation(value: object) -> str:
    """Strip punctuation and white space at the end of a sentence."""
    return text_of(value).rstrip(_FINAL)


def _change_first(value: object, change: Callable[[str], str]) -> str:
    """Change the first word character, skipping quotes, brackets and spaces before it."""
    text = text_of(value)
    match = _BEFORE_FIRST.match(text)
    at = match.end() if match else 0
    return text[:at] + change(text[at : at + 1]) + text[at + 1 :]


def _replace(value: object, old: object, new: object) -> str:
    text, before, after = text_of(value), text_of(old), text_of(new)
    validate_length(len(text) + text.count(before) * max(len(after) - len(before), 0))
    return text.replace(before, after)


def _split(value: object, sep: object = None) -> list[str]:
    by = None if sep is None else text_of(sep)
    if by == "":
        raise ExpressionError("cannot split by nothing: give it a text, or nothing at all to split by white space")
    pieces = text_of(value).split(by, MAX_ITEMS)
    if len(pieces) > MAX_ITEMS:
        raise LimitError(f"this makes a list of more than {MAX_ITEMS} items")
    return pieces


def _join(value: object, sep: object = "") -> str:
    return join_texts(_list(value), text_of(sep))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ExpressionError(f"expected a list, found {type_name(value)}")
    return value


def _item(value: object, index: int) -> object:
    if not isinstance(value, str | list):
        raise ExpressionError(f"expected a list or text, found {type_name(value)}")
    return value[index] if value else Missing(lambda: f"expected an item, found {type_name(value)} that is empty")


def _length(value: object) -> int:
    if not isinstance(value, str | list):
        raise ExpressionError(f"expected a list or text, found {type_name(value)}")
    return len(value)


def _default(value: object, default_value: object = "", boolean: object = False) -> object:
    return default_value if isinstance(value, Missing) or (boolean and not value) else value


FILTERS: Mapping[str, Callable[..., object]] = {
    "capitalize": lambda value: text_of(value).capitalize(),
    "default": _default,
    "first": lambda value: _item(value, 0),
    "join": _join,
    "last": lambda value: _item(value, -1),
    "length": _length,
    "lower": lambda value: text_of(value).lower(),
    "lower_first": lambda value: _change_first(value, str.lower),
    "replace": _replace,
    "split": _split,
    "strip_punctuation": _strip_punctuation,
    "title": _title,
    "trim": _trim,
    "upper": lambda value: text_of(value).upper(),
    "upper_first": lambda value: _change_first(value, str.upper),
}
"""Filters with a name of Jinja behave as in Jinja; `split` and those with an underscore are additions."""
TESTS: Mapping[str, Callable[[object], bool]] = {
    "defined": lambda value: not isinstance(value, Missing),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float),
    "string": lambda value: isinstance(value, str),
    "undefined": lambda value: isinstance(value, Missing),
}
ACCEPT_MISSING = ("default", "defined", "undefined")
