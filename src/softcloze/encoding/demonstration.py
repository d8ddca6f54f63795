"""How a demonstration is written."""

from collections.abc import Sequence
from dataclasses import replace

from softcloze.encoding.outline import with_options
from softcloze.encoding.prompt import Answer, Demonstration
from softcloze.template import Demos, Literal, Mask, Part, Soft, Template, expand


def write_demonstration(template: Template, demonstration: Demonstration, options: Sequence[str]) -> list[Part]:
    r"""The side of <demos> on which the masks stand, with label words in their places, and then the separator.

    Soft slots are left out; white space on both sides of one becomes that behind it.

    >>> template = Template("Good or bad?\n<demos><soft*5> <text> It was <mask>")
    >>> parts = write_demonstration(template, Demonstration({"text": "Dull."}, "bad"), options=())
    >>> "".join(part.text for part in parts)
    'Dull. It was bad\n\n'
    """
    parts = with_options(expand(template, demonstration.values), options)
    hole = next(i for i, part in enumerate(parts) if isinstance(part.node, Mask))
    breaks = [i for i, part in enumerate(parts) if isinstance(part.node, Demos)]
    first = max((i + 1 for i in breaks if i < hole), default=0)
    behind = min((i for i in breaks if i > hole), default=len(parts))
    sep = template.demos.sep if template.demos is not None else ""
    written = (_filled(part, demonstration.word) for part in _without_slots(parts[first:behind]))
    return [*written, Part(Literal(sep), sep)]


def _filled(part: Part, answer: Answer) -> Part:
    """The part, or the word that stands in its place if it is a mask."""
    if not isinstance(part.node, Mask):
        return part
    word = answer if isinstance(answer, str) else answer[str(part.node.name)]
    return Part(Literal(word), word)


def _without_slots(parts: Sequence[Part]) -> list[Part]:
    """Parts without soft slots and without the white space that would be double, or at an edge, where one was."""
    written: list[Part] = []

    def strip_last() -> None:
        if written and isinstance(written[-1].node, Literal):
            last = written.pop()
            written.append(replace(last, text=last.text.rstrip()))

    gap = False
    for part in parts:
        if isinstance(part.node, Soft):
            gap = True
            continue
        if gap and isinstance(part.node, Literal) and part.text[0].isspace():
            strip_last()
            if not written:
                part = replace(part, text=part.text.lstrip())
        if part.text or not isinstance(part.node, Literal):
            written.append(part)
            gap = False
    if gap:
        strip_last()
    return written
