r"""Text that other tools would fill, and the check that a template reads its examples.

`{text}`, `[text]`, `$text`, `%s`, `< text >` and the like are plain text in this language. A template copied from
another tool would give all examples the same prompt, or leave the name of a column in it.
"""

import re
from collections.abc import Collection, Sequence
from itertools import islice
from typing import NamedTuple

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import abbreviate
from softcloze.template.fields import find_name
from softcloze.template.nodes import Expression, Field, Literal, Placed, field_head
from softcloze.template.tags import TAGS

MOST = 1_000  # placeholders in one literal
_MARK = re.compile(r"[\[【<＜《{｛$%&]")  # each alternative of _PLACEHOLDER contains one of these
_ESCAPED = re.compile(
    r"(?<!\\)<!--.*?-->|\\\{[{%][^{}]*[}%]\}|\\[\[【<＜《{｛$%&]"  # comments, escaped Jinja, escaped characters
    r"|\\[A-Za-z]{2,}\*?(?:\{[^{}]*\}|\[[^\[\]]*\])+",  # commands of LaTeX with their arguments
    re.DOTALL,
)
_PLACEHOLDER = re.compile(
    r"""
      (?P<sure> \$?\{\s*(?P<braces>[^\W\d]\w*)\s*(?:[!:][^{}]*)?\}   # str.format, f-strings, ${text}
              | ｛\s*(?P<fullwidth>\w+)\s*｝ | \{\d?\}
              | (?<![\w%])%(?:\((?P<percent>\w+)\)[sdr]|[sdr]\b)
              | <'(?P<quotes>\w+)'>
              | &lt;\s*["']?(?P<entities>\w+)["']?\s*&gt; )
    | \{\s*[^\W\d]\w*(?:\.|\[["']?)(?P<item>[^\W\d]\w*)["']?\]?TAIL*\s*\}  # f-strings: {row.text}, {row["text"]}
    | \{\s*(?P<value>[^\W\d]\w*)TAIL+\s*\}  # {text[:80]}, {text.strip()}
    | \$(?P<dollar>[^\W\d]\w*)
    | \{\s*(?P<words>\w[\w .-]*)\}
    | \[(?P<brackets>\w[\w .-]*)\](?!\() | 【(?P<lenticular>\w+)】 | 《(?P<titles>\w+)》
    | <\s+(?P<spaces>\w+)\s*> | ＜\s*(?P<wide>\w+)\s*＞ | <(?P<digits>\d\w*)>
    """.replace("TAIL", r"(?:\[[-:\d]*\]|\.\w+\([^(){}]*\))"),
    re.VERBOSE,
)
_NO_FIELD = "the template reads no field, so all examples get the same prompt"
_PART_OF_WORD = re.compile(r"[\w\\}^{]")  # beside braces, as in x^{2}
_NEXT_TAG = re.compile(r"[\s:：]*<([^\W\d]\w*)")
_COMMON = re.compile(  # names of fields in templates of other tools
    r"text(?:s|_?[ab12])?|sent(?:ence)?_?[0-2]?|premise|hypothesis|question|passage|context|review|title|content"
    r"|document|article|paragraph|body|input(?:_text)?|query|comment|tweet"
)


_MASK_OF_OTHERS = re.compile(
    r"\\?[\[【《{｛<＜(]{1,3}[\s\"'|]{0,2}mask(?:_token|_?\d)?[\s\"'|]{0,2}[\]】》}｝>＞)]{1,3}|&lt;mask&gt;|%\(mask\)s|\$mask\b|\[blank\]"
    r"|<extra_id_0>|_{3,}",
    re.IGNORECASE,
)
_ANSWER_OF_OTHERS = re.compile(r"[\[{【]answer[\]}】]", re.IGNORECASE)
TOOLS = [  # tags of other tools, and the advice for their templates
    (
        r"""\{\s*["'](?:hard["'][^{}]*|text["']\s*:\s*["']text_[ab]["'])\}""",
        "in PaddleNLP's templates write <text_a> for {'text': 'text_a'}, <mask> for {'mask'}, <soft> for {'soft'} and "
        "plain text for {'hard': …}",
    ),
    (
        r"""\{\s*["'](?:placeholder|meta|mask|soft|soft_id|special|text)["'][^{}]*\}""",
        "read OpenPrompt's templates with Template.from_openprompt",
    ),
    (
        r"\*(?:cls|mask|sep\+?|\+?sent[lu]?-?_\d+|label_\d+)\*",
        "read LM-BFF's templates with Template.from_lmbff",
    ),
]


def mask_hint(source: str) -> str:
    """The end of a message about a missing mask: advice on the template of another tool, or the mask of one.

    >>> mask_hint('{"placeholder": "text_a"} It was {"mask"}')
    "; read OpenPrompt's templates with Template.from_openprompt"
    >>> mask_hint("<text> It was [MASK].")
    '; did you mean <mask> where it says [MASK]?'
    >>> mask_hint("Q: <text> A: {answer}")
    '; did you mean <answer> where it says {answer}?'
    """
    for pattern, advice in TOOLS:
        if re.search(pattern, source):
            return f"; {advice}"
    for tag, spellings in (("mask", _MASK_OF_OTHERS), ("answer", _ANSWER_OF_OTHERS)):
        if (match := spellings.search(source)) is not None:
            return f"; did you mean <{tag}> where it says {abbreviate(match[0])}?"
    return ""


class Placeholder(NamedTuple):
    """Text in a literal that another tool would fill, `source[start:end]`.

    Attributes:
        name: name of the field; empty for a placeholder without one, such as %s.
        start: start in the source.
        end: end in the source.
        is_sure: True if the spelling says so; False if only a column of that name does, as for "[text]".
        is_leftover: True if it is a mistake even without a column of that name.
    """

    name: str
    start: int
    end: int
    is_sure: bool
    is_leftover: bool

    @property
    def tag(self) -> str:
        """The tag to write instead."""
        if self.name in TAGS:
            return f"<{self.name}>"
        return f"<{field_head(self.name)}>" if self.name else "the field's name in angle brackets, as in <text>"

    def advice(self, source: str) -> str:
        """The ways out: the tag, and a spelling of the template `source` that keeps the text."""
        written = source[self.start : self.end]
        as_text = f"\\{written}" if written[0] in "<{" else f"{{{{ {written!r} }}}}"
        return f"write {self.tag}, or {as_text} to keep the text"


def find_placeholders(placed: Sequence[Placed], source: str) -> tuple[Placeholder, ...]:
    r"""Find placeholders of other tools in the literals of a template; a backslash before one marks it as text.

    >>> from softcloze.template.parser import parse
    >>> source = "{text} and \\{this} by [author]: <mask>"
    >>> [placeholder.name for placeholder in find_placeholders(parse(source), source)]
    ['text', 'author']
    """
    placeholders: list[Placeholder] = []
    braces = 0  # opening braces outside placeholders, as in JSON and LaTeX
    for node, start, end in placed:
        if not isinstance(node, Literal) or _MARK.search(node.text) is None:
            continue
        text = without_escapes(source[start:end])
        braces += text.count("{")
        for match in islice(_PLACEHOLDER.finditer(text), MOST):
            first, last = match.span()
            name = next((match[group].strip() for group in _NAMES if match[group]), "")
            stands_alone = not any(map(_PART_OF_WORD.match, (text[max(first - 1, 0) : first], text[last : last + 1])))
            is_leftover = bool(match["sure"]) and stands_alone and (not name or _COMMON.fullmatch(name) is not None)
            placeholders.append(Placeholder(name, start + first, start + last, bool(match["sure"]), is_leftover))
            braces -= match[0].count("{")
    tags = {item: _NEXT_TAG.match(source, item.end) for item in placeholders if source[item.start] in "[【《"}
    of_itself = (tag is not None and tag[1].casefold() == item.name.casefold() for item, tag in tags.items())
    if len(tags) > 1 and all(tags.values()) and any(of_itself):
        placeholders = [item for item in placeholders if item not in tags]  # headings: [text] <text> [label] <mask>
    return tuple(item._replace(is_leftover=item.is_leftover and not braces) for item in placeholders)


_NAMES = [group for group in _PLACEHOLDER.groupindex if group != "sure"]


def without_escapes(text: str) -> str:
    """The source of a literal with comments and escaped characters replaced by NUL, at the same positions."""
    return _ESCAPED.sub(lambda escaped: "\0" * len(escaped[0]), text)


def validate_reads(
    placed: Sequence[Placed],
    placeholders: Sequence[Placeholder],
    fields: Sequence[str],
    names: Collection[str],
    source: str,
) -> None:
    """Raise if a template reads no field of its examples, or leaves one of them as a placeholder of another tool.

    Args:
        placed: nodes of the template.
        placeholders: those of `find_placeholders`.
        fields: names of the fields that the template reads.
        names: names of the fields of the examples; none for plain strings.
        source: the template.

    Raises:
        TemplateSyntaxError: the template does not read its examples; shows the place and the fix.
    """
    candidates = [placeholder for placeholder in placeholders if placeholder.name not in (*TAGS, *fields)]
    for placeholder in candidates:
        _, start, end, is_sure, is_leftover = placeholder
        written, is_name = source[start:end], find_name(placeholder.name, names) is not None
        if fields and (is_leftover or is_name):
            problem = f"{written!r} is text here, not a field: {placeholder.advice(source)}"
            raise TemplateSyntaxError(problem, source, start, end, "forgotten-tag")
        if not fields and (is_sure or is_name or not names):
            problem = f"{_NO_FIELD}: {written!r} is text, write {placeholder.tag}"
            raise TemplateSyntaxError(problem, source, start, end, "no-field")
    if fields:
        return
    for node, start, end in placed:
        if isinstance(node, Field | Expression):
            raise TemplateSyntaxError(
                f"{_NO_FIELD}: this is in a branch that never runs", source, start, end, "no-field"
            )
    name = next((field_head(str(name)) for name in names if str(name).strip()), "text")
    raise TemplateSyntaxError(f"{_NO_FIELD}: put one where the text belongs, as in <{name}>", source, 0, 0, "no-field")
