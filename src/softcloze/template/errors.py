"""The errors of the template language, with a caret under the fault and the nearest valid name."""

from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import category, east_asian_width

from softcloze.errors import SoftclozeError

_REACH = 100  # characters of a long line shown on either side of the fault's first
JOINERS = "\u200c\u200d"  # no width of their own, and letters of several scripts and emoji need them
UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # a terminal obeys these, or fails on them


class TemplateSyntaxError(SoftclozeError, ValueError):
    """A template that breaks the rules of the language, with the characters at fault.

    Attributes:
        problem: what is wrong and how to mend it, one line.
        source: the whole template; for a template made from nodes, its printed form.
        start: index in `source` of the first character at fault.
        end: index behind the last one; equals `start` where something is missing.

    >>> print(TemplateSyntaxError("expected '>'", "评论: <text", 4, 9))
    expected '>'
      at line 1, column 5:
        评论: <text
              ^^^^^
    """

    def __init__(self, problem: str, source: str, start: int, end: int) -> None:
        super().__init__(problem, source, start, end)  # all of them, so that it pickles
        self.problem, self.source, self.start, self.end = problem, source, start, end

    def __str__(self) -> str:
        return f"{self.problem}\n{picture(self.source, self.start, self.end)}"


class TemplateTypeError(SoftclozeError, TypeError):
    """Something that is no template, or a node of another kind than the one asked for."""


class FieldError(SoftclozeError, ValueError):
    """An example that does not fill the fields of a template."""


class TemplateLogicError(SoftclozeError, ValueError):
    """A template whose logic makes of an example what is no prompt: too much, or not every mask exactly once."""


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
