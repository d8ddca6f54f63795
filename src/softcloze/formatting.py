"""Text in messages: carets under a fault, the nearest valid name, invisible characters made visible."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from unicodedata import category, east_asian_width

_REACH = 100  # characters of a long line shown on either side of the fault's first
JOINERS = "\u200c\u200d"  # no width of their own, and letters of several scripts and emoji need them
UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # a terminal obeys these, or fails on them


def place(source: str, at: int) -> str:
    r"""Where a character stands, for people: both numbers count from one.

    >>> place("one\ntwo", 5)
    'line 2, column 2'
    """
    return f"line {source.count(chr(10), 0, at) + 1}, column {at - source.rfind(chr(10), 0, at)}"


def picture(source: str, start: int, end: int) -> str:
    """Three lines, indented: where `source[start:end]` is, the line that it begins in, and carets under it.

    >>> print(picture("评论: <text", 4, 9))
      at line 1, column 5:
        评论: <text
              ^^^^^
    """
    line_start = source.rfind("\n", 0, start) + 1
    line_end = source.find("\n", start)
    if line_end < 0:
        line_end = len(source)
    left, right = max(line_start, start - _REACH), min(line_end, start + _REACH)
    before = ("…" if left > line_start else "") + _shown(source[left:start])
    behind = _shown(source[start:right].removesuffix("\r")) + ("…" if right < line_end else "")
    carets = _fill(_shown(source[start : min(end, right)]), "^")
    return (
        f"  at {place(source, start)}:\n"
        f"    {before}{behind}\n"
        f"    {_fill(before, ' ')}{carets if '^' in carets else '^'}"
    )


def nearest(name: str, choices: Iterable[object]) -> str | None:
    """The choice that `name` was probably meant to be, letter case aside; None if nothing is near.

    >>> nearest("Txet", ["label", "text"])
    'text'
    """
    spelt = {choice.casefold(): choice for choice in choices if isinstance(choice, str)}
    close = get_close_matches(name.casefold(), spelt, n=1)
    return spelt[close[0]] if close else None


def did_you_mean(name: str, choices: Iterable[object]) -> str:
    """The end of an error message, to be put straight behind it: empty if nothing is near.

    >>> did_you_mean("txet", ["label", "text"])
    "; did you mean 'text'?"
    >>> did_you_mean("x", ["label", "text"])
    ''
    """
    near = nearest(name, choices)
    return "" if near is None else f"; did you mean {near!r}?"


def cut(text: str, longest: int = 40) -> str:
    """`text`, or its beginning where it is too long for a message.

    >>> cut("abcdefgh", 5)
    'abcd…'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"


def listed(names: Iterable[object], most: int = 20) -> str:
    """Names for a message: quoted, with commas, the first `most` of them.

    >>> listed(["text", "label"])
    "'text', 'label'"
    >>> listed("abc", most=2)
    "'a', 'b' and 1 more"
    """
    quoted = [cut(repr(name)) for name in names]
    more = len(quoted) - most
    return ", ".join(quoted[:most]) + (f" and {more} more" if more > 0 else "")


def _shown(text: str) -> str:
    """`text` fit for a terminal: control characters, surrogates and the like as U+FFFD."""
    return "".join("\ufffd" if category(c) in UNSEEN and c not in f"\t{JOINERS}" else c for c in text)


def _fill(text: str, mark: str) -> str:
    """As wide on a terminal as `text`, but of `mark` alone; a tab stays one, so that any tab size lines up."""
    return "".join(c if c == "\t" else mark * _cells(c) for c in text)


def _cells(char: str) -> int:
    """Terminal cells a character takes: two for a wide letter, none for a mark that combines."""
    if char in JOINERS or category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


_LONE_SPACE = re.compile(r"(?<!\S) | (?!\S)")  # all but the single ones between words
_SIGNS = {" ": " ", "\n": "↵\n", "\t": "⇥"}


def visible(text: str) -> str:
    r"""Text in which white space and all else that cannot be seen, can; single spaces between words stay.

    >>> print(visible(" a b\t\u3000很\u202e "))
    ␣a b⇥⟨U+3000⟩很⟨U+202E⟩␣
    """
    return "".join(map(_seen, _LONE_SPACE.sub("␣", text)))


def _seen(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    return f"⟨U+{ord(char):04X}⟩" if category(char) in (*UNSEEN, "Zs") and char not in JOINERS else char


def one_line(value: object) -> str:
    r"""What cannot be seen made visible, line ends included.

    >>> one_line("very\ngood\u202e")
    'very↵good⟨U+202E⟩'
    """
    return visible(str(value)).replace("\n", "")


_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    r"""The text without surrogates, and as a plain string if it is of a subclass.

    >>> clean("a\ud800b")
    'a�b'
    """
    return _SURROGATE.sub("\ufffd", str.__str__(text))


def no_field(name: str, example: Mapping[str, object]) -> str:
    """What is wrong where the example does not have the field, for messages.

    >>> no_field("titel", {"title": "a", "text": "b"})
    "no field 'titel': the example has 'title', 'text'; did you mean 'title'?"
    """
    has = f"has {listed(example)}" if example else "is empty"
    return f"no field {name!r}: the example {has}{did_you_mean(name, example)}"


ABSENT = "–"
NONE = "none"  # shots of a method without training


def percent(share: float, digits: int = 1) -> str:
    """A share in percent.

    >>> percent(0.84251), percent(0.4251, digits=0)
    ('84.3%', '43%')
    """
    return f"{100 * share:.{digits}f}%"


def mean_sd(mean: float, sd: float | None = None, *, scale: float = 1, digits: int = 3) -> str:
    """A mean, with its standard deviation if there is one.

    >>> mean_sd(0.84251, 0.0213, scale=100, digits=1), mean_sd(0.5)
    ('84.3 ± 2.1', '0.500')
    """
    spread = "" if sd is None else f" ± {scale * sd:.{digits}f}"
    return f"{scale * mean:.{digits}f}{spread}"


def quantity(number: float) -> str:
    """A duration or a rate, to about three digits.

    >>> [quantity(number) for number in (0, 0.0123, 4.567, 45.67, 4567.8)]
    ['0', '0.012', '4.57', '45.7', '4,568']
    """
    if number == 0:
        return "0"
    digits = 3 if number < 1 else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{digits}f}"


def seconds(duration: float) -> str:
    """A duration with its unit.

    >>> seconds(0), seconds(4.567), seconds(150)
    ('0 s', '4.57 s', '150 s')
    """
    return f"{quantity(duration)} s"


def size(number: int | None) -> str:
    """A number of bytes, in powers of 1,000.

    >>> size(812), size(31_250), size(812_000_000), size(1_930_000_000), size(None)
    ('812 B', '31.2 kB', '812 MB', '1.93 GB', '–')
    """
    if number is None:
        return ABSENT
    amount, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.3g} {unit}"


def shots_name(shots: float | int | str) -> str:
    """The number of training rows per class, a share of all rows, or "all".

    >>> shots_name(16), shots_name(0), shots_name(0.1), shots_name("all")
    ('16', 'none', '10%', 'all')
    """
    if isinstance(shots, float):
        return f"{100 * shots:g}%"
    return NONE if shots == 0 else str(shots)
