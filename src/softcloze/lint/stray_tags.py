"""Rule for text that looks like a tag of softcloze or of another library."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from softcloze.formatting import quoted
from softcloze.lint.finding import Finding
from softcloze.template.tags import TAGS

_SPECIAL = {"s": "bos", "/s": "eos", "begin_of_text": "bos", "endoftext": "eos", "end_of_text": "eos", "im_end": "eos"}
_WITHOUT_TAG = ("unk", "pad")
_MARK = re.compile(r"[\[【<＜《{}%*]")  # each pattern below contains one of these
_SKIPPED = re.compile(r"(?<!\\)<!--.*?-->|\\\{[{%][^{}]*[}%]\}", re.DOTALL)  # comments, and Jinja escaped as a whole


class _TagPattern(NamedTuple):
    """A spelling of a tag, and the advice for the name that the pattern captures, if any."""

    pattern: re.Pattern[str]
    advice: Callable[[str], str]


def _tag(name: str) -> str:
    name = name.casefold()
    if name in _WITHOUT_TAG:
        return "leave it out: no tag writes this token"
    return f"write <{_SPECIAL.get(name, name)}>"


def _bars(name: str) -> str:
    known = name.casefold() in _SPECIAL
    return _tag(name) if known else "as text it is never a special token: <bos>, <eos>, <sep> and <cls> are"


def _field(name: str) -> str:
    return f"write <{name}>" if name else "write the field's name in angle brackets, as in <text>"


def _fixed(advice: str) -> Callable[[str], str]:
    return lambda name: advice


_OPENPROMPT = _fixed("read OpenPrompt's templates with Template.from_openprompt")
_LMBFF = _fixed("read LM-BFF's templates with Template.from_lmbff")
_TAG_PATTERNS = [
    _TagPattern(re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in [
        (r"[\[【](mask|sep|cls|bos|eos|unk|pad)[\]】]", _tag),
        (r"<\|(\w+)\|>", _bars),
        (r"<(/s)>", _tag),
        (r"</\w+>", _fixed("leave it out: tags are not closed")),
        (r"＜\s*(\w+)\s*＞", _tag),
        (r"""\{\s*["'](?:placeholder|meta|mask|soft|soft_id|special|text)["'][^{}]*\}""", _OPENPROMPT),
        (r"\*(?:cls|mask|sep\+?|\+?sent[lu]?-?_\d+|label_\d+)\*", _LMBFF),
        (r"\{#[^{}]*\}", _fixed("write a comment as <!-- … -->")),
        (r"\}\}", _fixed("it closes nothing: put {{ in front of the expression")),
        (r"%\}", _fixed("it closes nothing: put {% in front of the statement")),
        (r"\$?\{\s*([^\W\d]\w*)\s*(?:[!:][^{}]*)?\}", _field),
        (r"\{\d?\}", _field),
        (r"(?<![\w%])%\((\w+)\)[sdr]", _field),
        (r"(?<![\w%])%[sdr]\b", _field),
    ]
]


def check_stray_tags(source: str, literals: Iterable[tuple[int, int]], fields: Collection[str]) -> Iterator[Finding]:
    """Find text that looks like a tag in the literals of a template; a backslash before it marks it as text.

    Args:
        source: the template.
        literals: start and end of each literal in it.
        fields: names of fields in the template or in the data.

    >>> [finding.advice for finding in check_stray_tags("很[MASK] </s> {text}", [(0, 19)], ["text"])]
    ['write <mask>', 'write <eos>', 'write <text>']
    """
    names = "|".join(map(re.escape, (*TAGS, *fields)))
    named = _TagPattern(re.compile(rf"[\[【《]({names})[\]】》]|<\s+({names})\s*>"), _field)
    for start, end in literals:
        text = _SKIPPED.sub(lambda skipped: "\0" * len(skipped[0]), source[start:end])
        if _MARK.search(text) is None:
            continue
        matched = bytearray(len(text))  # each character belongs to the first pattern that matches it
        for kind in (*_TAG_PATTERNS, named):
            for match in kind.pattern.finditer(text):
                first, last = match.span()
                if any(matched[first:last]) or (first > 0 and text[first - 1] == "\\"):
                    continue
                matched[first:last] = b"\1" * (last - first)
                advice = kind.advice(next(filter(None, match.groups()), ""))
                message = f"{quoted(match[0])} looks like a tag, but is text"
                yield Finding("forgotten-tag", "warning", message, advice, source, start + first, start + last)


def odd_name(name: str) -> str | None:
    """Advice for a field whose name is a tag in other letters or a special token; None for any other name.

    >>> odd_name("MASK"), odd_name("s"), odd_name("text")
    ('write <mask>', 'write <bos>', None)
    """
    folded = name.casefold()
    return _tag(folded) if folded in TAGS or folded in _SPECIAL or folded in _WITHOUT_TAG else None
