"""Text of messages and tables: source excerpts, quoted names, suggestions, visible white space, numbers."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from unicodedata import category, east_asian_width

_HTML = frozenset(("b", "br", "div", "em", "h1", "h2", "h3", "i", "li", "p", "s", "span", "strong", "u", "ul"))
_CONTEXT = 100  # characters of a long line shown on either side of the start of an error
JOINERS = "\u200c\u200d"  # invisible, but part of letters in several scripts and of emoji
INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # categories that terminals interpret or cannot print
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


def has_chinese(text: str) -> bool:
    """True if a text has Chinese characters.

    >>> has_chinese("T恤"), has_chinese("。")
    (True, False)
    """
    return _HAN.search(text) is not None


def line_and_column(source: str, at: int) -> str:
    r"""Line and column of a character, both counted from one.

    >>> line_and_column("one\ntwo", 5)
    'line 2, column 2'
    """
    return f"line {source.count(chr(10), 0, at) + 1}, column {at - source.rfind(chr(10), 0, at)}"


def source_excerpt(source: str, start: int, end: int) -> str:
    """Three indented lines: the position of `source[start:end]`, its first line, and carets under it.

    >>> print(source_excerpt("评论: <text", 4, 9))
      at line 1, column 5:
        评论: <text
              ^^^^^
    """
    line_start = source.rfind("\n", 0, start) + 1
    line_end = source.find("\n", start)
    if line_end < 0:
        line_end = len(source)
    left, right = max(line_start, start - _CONTEXT), min(line_end, start + _CONTEXT)
    before = ("…" if left > line_start else "") + _printable(source[left:start])
    after = _printable(source[start:right].removesuffix("\r")) + ("…" if right < line_end else "")
    carets = _fill(_printable(source[start : min(end, right)]), "^")
    return (
        f"  at {line_and_column(source, start)}:\n"
        f"    {before}{after}\n"
        f"    {_fill(before, ' ')}{carets if '^' in carets else '^'}"
    )


def nearest(name: str, choices: Iterable[object]) -> str | None:
    """The choice most similar to `name`, ignoring case; None if no choice is similar.

    >>> nearest("Txet", ["label", "text"])
    'text'
    """
    spelt = {choice.casefold(): choice for choice in choices if isinstance(choice, str)}
    close = get_close_matches(name.casefold(), spelt, n=1)
    return spelt[close[0]] if close else None


def did_you_mean(name: str, choices: Iterable[object]) -> str:
    """The end of an error message that suggests a choice; empty if no choice is similar.

    >>> did_you_mean("txet", ["label", "text"])
    "; did you mean 'text'?"
    >>> did_you_mean("x", ["label", "text"])
    ''
    """
    near = nearest(name, choices)
    return "" if near is None else f"; did you mean {near!r}?"


def abbreviate(text: str, longest: int = 40) -> str:
    """Shorten a text that is too long for a message.

    >>> abbreviate("abcdefgh", 5)
    'abcd…'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"


def quoted(value: object, longest: int = 40) -> str:
    """The representation of a value, shortened for a message.

    >>> quoted("text"), quoted("abcdefgh", 5)
    ("'text'", "'abc…")
    """
    return abbreviate(repr(value), longest)


def quoted_list(names: Iterable[object], most: int = 20) -> str:
    """Names for a message: quoted, separated by commas, `most` of them at most.

    >>> quoted_list(["text", "label"])
    "'text', 'label'"
    >>> quoted_list("abc", most=2)
    "'a', 'b' and 1 more"
    """
    texts = [quoted(name) for name in names]
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _printable(text: str) -> str:
    """Replace characters that a terminal would interpret, such as control characters, by U+FFFD."""
    return "".join("\ufffd" if category(c) in INVISIBLE and c not in f"\t{JOINERS}" else c for c in text)


def _fill(text: str, mark: str) -> str:
    """Repeat `mark` to the width of `text` on a terminal; tabs stay, so that any tab size lines up."""
    return "".join(c if c == "\t" else mark * _cells(c) for c in text)


def _cells(char: str) -> int:
    """Terminal cells of a character: two for a wide letter, none for a combining mark."""
    if char in JOINERS or category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


_LONE_SPACE = re.compile(r"(?<!\S) | (?!\S)")  # all spaces except single ones between words
_SIGNS = {" ": " ", "\n": "↵\n", "\t": "⇥"}


def visible(text: str) -> str:
    r"""Make white space and invisible characters visible; single spaces between words stay.

    >>> print(visible(" a b\t\u3000很\u202e "))
    ␣a b⇥⟨U+3000⟩很⟨U+202E⟩␣
    """
    return "".join(map(_visible_char, _LONE_SPACE.sub("␣", text)))


def _visible_char(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    return f"⟨U+{ord(char):04X}⟩" if category(char) in (*INVISIBLE, "Zs") and char not in JOINERS else char


def one_line(value: object) -> str:
    r"""Text as one line, with white space, line ends and invisible characters made visible.

    >>> one_line("very\ngood\u202e")
    'very↵good⟨U+202E⟩'
    """
    return visible(str(value)).replace("\n", "")


_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    r"""Replace surrogates by U+FFFD, and turn an instance of a subclass into a plain string.

    >>> replace_surrogates("a\ud800b")
    'a�b'
    """
    return _SURROGATE.sub("\ufffd", str.__str__(text))


def missing_field(name: str, example: Mapping[str, object]) -> str:
    """The message about a field that the example lacks.

    >>> missing_field("titel", {"title": "a", "text": "b"})
    "no field 'titel': the example has 'title', 'text'; did you mean 'title'?"
    """
    has = f"has {quoted_list(example)}" if example else "is empty"
    return f"no field {name!r}: the example {has}{did_you_mean(name, example)}{html_hint([name])}"


def html_hint(fields: Iterable[str]) -> str:
    r"""The end of a message about fields that may be meant as tags of HTML.

    >>> html_hint(["text", "b"])
    '; a <b> of HTML is written \\<b>'
    """
    tag = next((name for name in fields if name in _HTML), "")
    return tag and f"; a <{tag}> of HTML is written \\<{tag}>"


ABSENT = "–"
NONE = "none"  # shots of a method without training


def is_missing(value: object) -> bool:
    """Return True for what stands for no value: None, NaN of any type, and pandas' NA and NaT.

    >>> [is_missing(value) for value in (None, float("nan"), "nan", 0)]
    [True, True, False, False]
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str | bytes):
        return False
    try:
        return bool(value != value)  # NaN alone differs from itself
    except ArithmeticError:  # a signalling NaN of decimal
        return True
    except (TypeError, ValueError, RuntimeError):  # an array, or what cannot be compared
        return False


def is_boolean(value: object) -> bool:
    """Return True for a truth value of Python or numpy, which need not be imported.

    >>> is_boolean(True), is_boolean(1)
    (True, False)
    """
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"))


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
    """The number of training examples per class, a share of all, or "all".

    >>> shots_name(16), shots_name(0), shots_name(0.1), shots_name("all")
    ('16', 'none', '10%', 'all')
    """
    if isinstance(shots, float):
        return f"{100 * shots:g}%"
    return NONE if shots == 0 else str(shots)
