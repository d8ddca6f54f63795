"""A template's parts before any example is known, and the steps that all parts go through."""

from collections.abc import Iterable, Sequence

from softcloze.template import Expression, Field, Literal, Mask, Options, Part, Soft, Statement, Template
from softcloze.template.nodes import literal_text
from softcloze.template.parts import merge_literals


def outline(template: Template) -> Iterable[Part]:
    """The parts of a template of which nothing is known but the source: Jinja's values are empty fields."""
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
    """Parts with the label words written out for <options>, and literals next to each other made one.

    >>> [part.node for part in with_options(outline(Template("(<options>) <mask>")), ["好", "差"])]
    [Literal(text='(好, 差) '), Mask(count=None, name=None)]
    """

    def written(part: Part) -> Part:
        if not isinstance(part.node, Options):
            return part
        text = part.node.sep.join(options)
        return Part(Literal(text), text)

    return merge_literals(map(written, parts))


def spaces_before_masks(parts: Sequence[Part]) -> dict[Mask, str]:
    """The white space at the end of the literal before each mask, "" where there is none."""
    spaces = {}
    for i, part in enumerate(parts):
        if isinstance(part.node, Mask):
            text = parts[i - 1].text if i > 0 and isinstance(parts[i - 1].node, Literal) else ""
            spaces[part.node] = text[len(text.rstrip()) :]
    return spaces
