"""What expressions in a template can do to values: the filters and the tests, and the limits they keep.

A value is None, a truth value, a number, text, or a list of such. None of these functions can make much of little: what
grows text looks at how long it would become first.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from string import whitespace

MOST_CHARACTERS = 100_000_000
"""That the logic of a template may handle for one example; a field of 10 MB passes through a handful of filters."""
MOST_ITEMS = 100_000
_SENTENCE_MARKS = (
    ".,;:!?…‥⋯" + "。．｡，、､；：！？﹐﹒﹔﹕﹖﹗" + "،؛؟۔।॥"
)  # Western, Chinese and Japanese, Arabic, Indian
_FINAL = _SENTENCE_MARKS + whitespace + "\x85\xa0\u2028\u2029\u3000"
_WORD = re.compile(r"[^-\s({\[<]+")
_BEFORE_FIRST = re.compile(r"\W*")  # quotes, brackets and spaces


class Refusal(Exception):  # noqa: N818 - caught in this package, where row and place are added
    """Something that expressions cannot do, or not to this value."""


class LimitReached(Refusal):
    """More work for one example than templates may cause."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What stands for a value that is not there; `problem` says so, if asked."""

    problem: Callable[[], str]


def kind(value: object) -> str:
    """What a value is, for messages.

    >>> kind("a"), kind(None), kind(True), kind(1.5), kind(["a"])
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
    """The value as it is written into a prompt.

    >>> text_of("很好"), text_of(4.5), text_of(True)
    ('很好', '4.5', 'True')
    """
    match value:
        case str():
            return value
        case None:
            raise Refusal("expected text, found None: ask with {% if … %} first, or add | default('', true)")
        case list():
            raise Refusal("expected text, found a list: go through it with {% for … %}, or add | join(', ')")
    try:
        return str(value)
    except ValueError as error:  # an int of thousands of digits
        raise Refusal(f"a number that cannot be written: {error}") from error


def limit(characters: int) -> None:
    """Refuse to make a text so long."""
    if characters > MOST_CHARACTERS:
        raise LimitReached(f"this makes a text of {characters} characters, more than {MOST_CHARACTERS} in all")


def joined(values: Iterable[object], sep: str = "") -> str:
    """The texts of `values` with `sep` between them, if that is not too long."""
    texts = [text_of(value) for value in values]
    limit(sum(map(len, texts)) + len(sep) * max(len(texts) - 1, 0))
    return sep.join(texts)


def _trim(value: object, chars: object = None) -> str:
    return text_of(value).strip(None if chars is None else text_of(chars))


def _title(value: object) -> str:
    return _WORD.sub(lambda word: word[0][0].upper() + word[0][1:].lower(), text_of(value))


def _strip_punctuation(value: object) -> str:
    """Without the punctuation at the end of a sentence, and white space around it."""
    return text_of(value).rstrip(_FINAL)


def _lower_first(value: object) -> str:
    return _change_first(value, str.lower)


def _upper_first(value: object) -> str:
    return _change_first(value, str.upper)


def _change_first(value: object, change: Callable[[str], str]) -> str:
    """Change the first letter; what stands before it is no matter, unless it is a digit."""
    text = text_of(value)
    found = _BEFORE_FIRST.match(text)
    at = found.end() if found else 0
    return text[:at] + change(text[at : at + 1]) + text[at + 1 :]


def _replace(value: object, old: object, new: object) -> str:
    text, before, after = text_of(value), text_of(old), text_of(new)
    limit(len(text) + text.count(before) * max(len(after) - len(before), 0))
    return text.replace(before, after)


def _split(value: object, sep: object = None) -> list[str]:
    by = None if sep is None else text_of(sep)
    if by == "":
        raise Refusal("cannot split by nothing: give it a text, or nothing at all to split by white space")
    pieces = text_of(value).split(by, MOST_ITEMS)
    if len(pieces) > MOST_ITEMS:
        raise LimitReached(f"this makes a list of more than {MOST_ITEMS} items")
    return pieces


def _join(value: object, sep: object = "") -> str:
    return joined(_list(value), text_of(sep))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Refusal(f"expected a list, found {kind(value)}")
    return value


def _first(value: object) -> object:
    return _item(value, 0)


def _last(value: object) -> object:
    return _item(value, -1)


def _item(value: object, index: int) -> object:
    if not isinstance(value, str | list):
        raise Refusal(f"expected a list or text, found {kind(value)}")
    return value[index] if value else Missing(lambda: f"expected an item, found {kind(value)} that is empty")


def _length(value: object) -> int:
    if not isinstance(value, str | list):
        raise Refusal(f"expected a list or text, found {kind(value)}")
    return len(value)


def _default(value: object, default_value: object = "", boolean: object = False) -> object:
    return default_value if isinstance(value, Missing) or (boolean and not value) else value


FILTERS: Mapping[str, Callable[..., object]] = {
    "capitalize": lambda value: text_of(value).capitalize(),
    "default": _default,
    "first": _first,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": lambda value: text_of(value).lower(),
    "lower_first": _lower_first,
    "replace": _replace,
    "split": _split,
    "strip_punctuation": _strip_punctuation,
    "title": _title,
    "trim": _trim,
    "upper": lambda value: text_of(value).upper(),
    "upper_first": _upper_first,
}
"""Those that are called as one of Jinja's do the same; `split` and the ones with an underscore are our own."""
TESTS: Mapping[str, Callable[[object], bool]] = {
    "defined": lambda value: not isinstance(value, Missing),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float),
    "string": lambda value: isinstance(value, str),
    "undefined": lambda value: isinstance(value, Missing),
}
TAKE_MISSING = ("default", "defined", "undefined")
