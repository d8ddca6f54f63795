"""References to versions, such as `reviews`, `reviews@canary` and `reviews@3`, and the names in them."""

import re
from typing import NamedTuple

from softcloze.errors import RegistryError
from softcloze.formatting import quoted

LIVE = "live"
"""The alias of a reference that is a name alone."""
_NAME = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
_ALIAS = re.compile("[a-z][a-z0-9._-]{0,63}")
_NUMBER = re.compile("[1-9][0-9]{0,8}")


class Reference(NamedTuple):
    """A reference to a version.

    Attributes:
        name: of the prompt.
        alias: the alias that names the version; None if `number` does.
        number: the number of the version; None if an alias names it.
    """

    name: str
    alias: str | None
    number: int | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.alias if self.number is None else self.number}"


def parse_reference(text: str) -> Reference:
    """Parse a reference: a name alone has the alias `live`.

    Raises:
        RegistryError: the name, the alias or the number breaks the rules.

    >>> parse_reference("reviews"), parse_reference("reviews@3")
    (Reference(name='reviews', alias='live', number=None), Reference(name='reviews', alias=None, number=3))
    >>> parse_reference("reviews@03")
    Traceback (most recent call last):
    softcloze.errors.RegistryError: '03' is neither an alias nor the number of a version; expected reviews@live or \
reviews@1
    """
    if not isinstance(text, str):
        raise RegistryError(f"expected a reference to a prompt, as in 'reviews' or 'reviews@3', found {quoted(text)}")
    name, at, which = text.partition("@")
    validate_name(name)
    if not at:
        return Reference(name, LIVE)
    number = parse_number(which)
    if number is not None:
        return Reference(name, None, number)
    if which[:1].isdigit() or not which:
        raise RegistryError(
            f"{quoted(which)} is neither an alias nor the number of a version; expected {name}@{LIVE} or {name}@1"
        )
    validate_alias(which)
    return Reference(name, which)


def parse_number(text: str) -> int | None:
    """The number of a version, as the name of its folder has it; None for any other text.

    >>> parse_number("10"), parse_number("010"), parse_number("²")
    (10, None, None)
    """
    return int(text) if _NUMBER.fullmatch(text) else None


def is_name(text: str) -> bool:
    """Return True for the name of a prompt.

    >>> [is_name(text) for text in ("reviews", "reviews-2.zh", "Reviews", "a..b", "../a", "a.", "")]
    [True, True, False, False, False, False, False]
    """
    return _follows(_NAME, text)


def is_alias(text: str) -> bool:
    """Return True for the name of an alias: it begins with a letter, and is neither `latest` nor like `v3`.

    >>> [is_alias(text) for text in ("live", "canary-2", "latest", "v3", "3")]
    [True, True, False, False, False]
    """
    return _follows(_ALIAS, text) and text != "latest" and not re.fullmatch("v[0-9]+", text)


def validate_name(name: str) -> None:
    """Raise RegistryError if `name` cannot be the name of a prompt."""
    if not isinstance(name, str) or not is_name(name):
        raise RegistryError(
            f"{quoted(name)} cannot be the name of a prompt; expected 1 to 64 of a-z, 0-9, '.', '_' and '-', first a "
            "letter or digit, without '..' and a dot at the end"
        )


def validate_alias(alias: str) -> None:
    """Raise RegistryError if `alias` cannot be the name of an alias."""
    if not isinstance(alias, str) or not is_alias(alias):
        raise RegistryError(
            f"{quoted(alias)} cannot be an alias; expected 1 to 64 of a-z, 0-9, '.', '_' and '-', first a letter, "
            "without '..' and a dot at the end, and neither 'latest' nor a name like 'v3'"
        )


def _follows(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None and ".." not in text and not text.endswith(".")
