"""The parts of a template before any example, and those of a demonstration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from softcloze.encoding.encoded import Demonstration, MaskWords
from softcloze.template import (
    Answer,
    Demos,
    Expression,
    Field,
    Literal,
    Mask,
    Options,
    Part,
    Soft,
    Statement,
    Template,
    Turn,
)
from softcloze.template.nodes import literal_text
from softcloze.template.parts import merge_literals


def static_parts(template: Template) -> Iterable[Part]:
    """The parts of a template without an example: Jinja expressions become empty fields."""
    nodes = template.nodes
    for i, node in enumerate(nodes):
        match node:
            case Literal(text):
                if text := literal_text(text, nodes, i):
                    yield Part(Literal(text), text)
            case Soft():
                yield Part(node, block=template.block_of(i))
            case Expression():
                yield Part(Field(""))
            case Statement():
                pass
            case _:
                yield Part(node)


def with_options(parts: Iterable[Part], options: Sequence[str]) -> list[Part]:
    """Replace <options> by the label words, then merge neighbouring literals; <options field=…> stays.

    >>> [part.node for part in with_options(static_parts(Template("(<options>) <mask>")), ["好", "差"])]
    [Literal(text='(好, 差) '), Mask(count=None, name=None)]
    """

    def written(part: Part) -> Part:
        if not isinstance(part.node, Options) or part.node.field is not None:
            return part
        text = part.node.sep.join(options)
        return Part(Literal(text), text)

    return merge_literals(map(written, parts))


def spaces_before_masks(parts: Sequence[Part]) -> dict[Mask | Answer, str]:
    """The white space at the end of the literal before each mask or the answer; "" if none.

    Of that before an answer it is the part after the last line end.
    """
    spaces: dict[Mask | Answer, str] = {}
    for i, part in enumerate(parts):
        if isinstance(part.node, Mask | Answer):
            text = parts[i - 1].text if i > 0 and isinstance(parts[i - 1].node, Literal) else ""
            space = text[len(text.rstrip()) :]
            spaces[part.node] = space if isinstance(part.node, Mask) else space[space.rfind("\n") + 1 :]
    return spaces


def write_demonstration(template: Template, demonstration: Demonstration, options: Sequence[str]) -> list[Part]:
    r"""Write a demonstration: the side of <demos> with the masks or the answer, filled in, and then the separator.

    In a template with chat turns these are the turns after <demos>, without a separator. Soft slots are left out. White
    space on both sides of a slot collapses to that after it.

    >>> template = Template("Good or bad?\n<demos><soft*5> <text> It was <mask>")
    >>> parts = write_demonstration(template, Demonstration({"text": "Dull."}, "bad"), options=())
    >>> "".join(part.text for part in parts)
    'Dull. It was bad\n\n'
    """
    parts = with_options(template.expand(demonstration.values), options)
    mask = next(i for i, part in enumerate(parts) if isinstance(part.node, Mask | Answer))
    breaks = [i for i, part in enumerate(parts) if isinstance(part.node, Demos)]
    start = max((i + 1 for i in breaks if i < mask), default=0)
    stop = min((i for i in breaks if i > mask), default=len(parts))
    sep = template.demos.sep if template.demos is not None else ""
    written = (_filled(part, demonstration.word) for part in _without_slots(parts[start:stop]))
    return [*written, Part(Literal(sep), sep)] if not template.turns else [*written]


def _filled(part: Part, words: MaskWords) -> Part:
    """Replace a mask by its label word, and the answer by a field that is cut to its `max`; other parts stay."""
    match part.node, words:
        case Answer(most, keep), str(text):
            return Part(Field("", most, keep), text)
        case Mask(), str(word):
            return Part(Literal(word), word)
        case Mask(name=str(name)), Mapping():
            return Part(Literal(words[name]), words[name])
    return part


def _without_slots(parts: Sequence[Part]) -> list[Part]:
    """Drop soft slots, and white space that would be doubled or left at an edge."""
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
            if not written or isinstance(written[-1].node, Turn):
                part = replace(part, text=part.text.lstrip())
        if gap and isinstance(part.node, Turn):
            strip_last()
        if part.text or not isinstance(part.node, Literal):
            written.append(part)
            gap = False
    if gap:
        strip_last()
    return written
