"""Text in a template that looks like a tag, of ours or of another library, but is none."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from softcloze.formatting import cut
from softcloze.lint.finding import Finding
from softcloze.template.tags import TAGS

_SPECIAL = {"s": "bos", "/s": "eos", "begin_of_text": "bos", "endoftext": "eos", "end_of_text": "eos", "im_end": "eos"}
_WITHOUT_TAG = ("unk", "pad")
_MARK = re.compile(r"[\[【<＜《{}%*]")  # what looks like a tag has one of these
_SKIPPED = re.compile(r"(?<!\\)<!--.*?-->|\\\{[{%][^{}]*[}%]\}", re.DOTALL)  # comments, and Jinja escaped as a whole


class _Look(NamedTuple):
    """Something that text can look like: its pattern, and the advice for the name that it catches, if any."""

    pattern: re.Pattern[str]
    advice: Callable[[str], str]


def _tag(name: str) -> str:
    name = name.casefold()
    if name in _WITHOUT_TAG:
        return "leave it out: no tag stands for this token"
    return f"write <{_SPECIAL.get(name, name)}>"


def _bars(name: str) -> str:
    known = name.casefold() in _SPECIAL
    return _tag(name) if known else "as text it is never a special token: <bos>, <eos>, <sep> and <cls> are"


def _field(name: str) -> str:
    return f"write <{name}>" if name else "write the field's name in angle brackets, as in <text>"


def _said(advice: str) -> Callable[[str], str]:
    return lambda name: advice


_OPENPROMPT = _said("read OpenPrompt's templates with Template.from_openprompt")
_LMBFF = _said("read LM-BFF's templates with Template.from_lmbff")
_LOOKS = [
    _Look(re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in [
        (r"[\[【](mask|sep|cls|bos|eos|unk|pad)[\]】]", _tag),
        (r"<\|(\w+)\|>", _bars),
        (r"<(/s)>", _tag),
        (r"</\w+>", _said("leave it out: tags are not closed")),
        (r"＜\s*(\w+)\s*＞", _tag),
        (r"""\{\s*["'](?:placeholder|meta|mask|soft|soft_id|special|text)["'][^{}]*\}""", _OPENPROMPT),
        (r"\*(?:cls|mask|sep\+?|\+?sent[lu]?-?_\d+|label_\d+)\*", _LMBFF),
        (r"\{#[^{}]*\}", _said("write a comment as <!-- … -->")),
        (r"\}\}", _said("it closes nothing: put {{ in front of the expression")),
        (r"%\}", _said("it closes nothing: put {% in front of the statement")),
        (r"\$?\{\s*([^\W\d]\w*)\s*(?:[!:][^{}]*)?\}", _field),
        (r"\{\d?\}", _field),
        (r"(?<![\w%])%\((\w+)\)[sdr]", _field),
        (r"(?<![\w%])%[sdr]\b", _field),
    ]
]


def stray_tags(source: str, literals: Iterable[tuple[int, int]], fields: Collection[str]) -> Iterator[Finding]:
    """What looks like a tag in the literals of a template; a backslash before it says that it is meant as text.

    Args:
        source: the template.
        literals: start and end of each literal in it.
        fields: names that fields have, in the template or in the data.

    >>> [finding.advice for finding in stray_tags("很[MASK] </s> {text}", [(0, 19)], ["text"])]
    ['write <mask>', 'write <eos>', 'write <text>']
    """
    names = "|".join(map(re.escape, (*TAGS, *fields)))
    named = _Look(re.compile(rf"[\[【《]({names})[\]】》]|<\s+({names})\s*>"), _field)
    for start, end in literals:
        text = _SKIPPED.sub(lambda skipped: "\0" * len(skipped[0]), source[start:end])
        if _MARK.search(text) is None:
            continue
        taken = bytearray(len(text))  # the first look that takes a character has it
        for match, advice in (
            (match, look.advice) for look in (*_LOOKS, named) for match in look.pattern.finditer(text)
        ):
            first, last = match.span()
            if any(taken[first:last]) or (first > 0 and text[first - 1] == "\\"):
                continue
            taken[first:last] = b"\1" * (last - first)
            name = next(filter(None, match.groups()), "")
            message = f"{cut(repr(match[0]))} looks like a tag, but is text"
            yield Finding("forgotten-tag", "warning", message, advice(name), source, start + first, start + last)


def odd_name(name: str) -> str | None:
    """What to write if a field of this name is none, but a tag or a special token; None if it looks like a field.

    >>> odd_name("MASK"), odd_name("s"), odd_name("text")
    ('write <mask>', 'write <bos>', None)
    """
    folded = name.casefold()
    return _tag(folded) if folded in TAGS or folded in _SPECIAL or folded in _WITHOUT_TAG else None
