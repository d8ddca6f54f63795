"""Rule for text that looks like a tag of softcloze or of another library."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from softcloze.formatting import quoted
from softcloze.lint.finding import Finding
from softcloze.template import Literal
from softcloze.template.nodes import Placed
from softcloze.template.placeholders import TOOLS, find_placeholders, without_escapes
from softcloze.template.tags import TAGS

_SPECIAL = {"s": "bos", "/s": "eos", "begin_of_text": "bos", "endoftext": "eos", "end_of_text": "eos"}
_CHAT = re.compile(
    r"im_(?:start|end|sep)|(?:start|end)_(?:header_id|of_turn|of_role)|eot_id|system|user|assistant|INST", re.IGNORECASE
)
_TURNS = (
    "write turns with <chat:system>, <chat:user> and <chat:assistant>: the tokenizer's own chat template frames them"
)
_WITHOUT_TAG = ("unk", "pad")
_ESCAPES = {"n": "line end", "t": "tab"}
_ESCAPE = re.compile(  # but not a command of LaTeX, such as \nu
    r"(?<!\\)\\([nt])(?!(?:abla|eq?|eg|ewline|i|ot|otin|u|au|heta|imes|o|op|ilde|anh?|ext[a-z]*|riangle|herefore|frac)\b)"
)
_MARK = re.compile(r"[\[【<＜《{}%*\\]")  # each pattern below contains one of these


def _tag(name: str) -> str:
    name = name.casefold()
    if name in _WITHOUT_TAG:
        return "leave it out: no tag writes this token"
    return f"write <{_SPECIAL.get(name, name)}>"


def _bars(name: str) -> str:
    if _CHAT.fullmatch(name):
        return _TURNS
    known = name.casefold() in _SPECIAL
    return _tag(name) if known else "as text it is never a special token: <bos>, <eos>, <sep> and <cls> are"


def _fixed(advice: str) -> Callable[[str], str]:
    return lambda name: advice


_TAG_PATTERNS = [  # spellings of tags, and the advice for the name that a pattern captures, if any
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in [
        (r"[\[【](mask|sep|cls|bos|eos|unk|pad)[\]】]", _tag),
        (r"<\|(\w+)\|>", _bars),
        (r"\[/?INST\]|<<SYS>>", _fixed(_TURNS)),
        (r"<(/s)>", _tag),
        (r"</\w+>", _fixed("leave it out: tags are not closed")),
        *((pattern, _fixed(advice)) for pattern, advice in TOOLS),
        (r"\{#[^{}]*\}", _fixed("write a comment as <!-- … -->")),
        (r"\}\}", _fixed("it closes nothing: put {{ in front of the expression")),
        (r"%\}", _fixed("it closes nothing: put {% in front of the statement")),
    ]
]


def check_stray_tags(placed: Sequence[Placed], source: str, fields: Collection[str]) -> Iterator[Finding]:
    """Find text that looks like a tag in the literals of a template; a backslash before it marks it as text.

    Args:
        placed: nodes of the template.
        source: the template.
        fields: names of fields in the template or in the data.

    >>> from softcloze.template.parser import parse
    >>> source = "很[MASK] </s> {text}"
    >>> [finding.advice for finding in check_stray_tags(parse(source), source, ["text"])]
    ['write <mask>', 'write <eos>', 'write <text>']
    """
    matched = bytearray(len(source))  # each character belongs to the first pattern that matches it

    def finding(advice: str, start: int, end: int) -> Iterator[Finding]:
        if not any(matched[start:end]):
            matched[start:end] = b"\1" * (end - start)
            message = f"{quoted(source[start:end])} looks like a tag, but is text"
            yield Finding("forgotten-tag", "warning", message, advice, source, start, end)

    for node, start, end in placed:
        if isinstance(node, Literal) and _MARK.search(node.text):
            text = without_escapes(source[start:end])
            for pattern, advice in _TAG_PATTERNS:
                for match in pattern.finditer(text):
                    name = next(filter(None, match.groups()), "")
                    yield from finding(advice(name), start + match.start(), start + match.end())
            for match in _ESCAPE.finditer(text):
                message = f"{match[0]!s} is a backslash and the letter {match[1]}, not a {_ESCAPES[match[1]]}"
                fix = "type the character itself, or leave out the r before a string of Python"
                yield Finding("escape", "warning", message, fix, source, start + match.start(), start + match.end())
    for placeholder in find_placeholders(placed, source):
        if placeholder.is_sure or placeholder.name in (*TAGS, *fields):
            yield from finding(f"write {placeholder.tag}", placeholder.start, placeholder.end)


def odd_name(name: str) -> str | None:
    """Advice for a field whose name is a tag in other letters or a special token; None for any other name.

    >>> odd_name("MASK"), odd_name("s"), odd_name("text"), odd_name("user")
    ('write <mask>', 'write <bos>', None, None)
    """
    folded = name.casefold()
    if folded not in ("system", "user", "assistant") and _CHAT.fullmatch(folded):  # those are names of columns too
        return _TURNS
    return _tag(folded) if folded in TAGS or folded in _SPECIAL or folded in _WITHOUT_TAG else None
