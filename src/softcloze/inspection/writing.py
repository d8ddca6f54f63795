"""Templates without soft slots: with words in their place, or with nothing."""

from collections.abc import Mapping, Sequence

from softcloze.encoding import Vocabulary
from softcloze.template import Expression, Field, Literal, Options, Soft, Template
from softcloze.template.nodes import Node


def with_words(template: Template, blocks: Mapping[str, Sequence[int]], vocabulary: Vocabulary) -> Template:
    """The template with words in the place of its soft slots.

    They are written so that the tokenizer reads these words behind what stands before them, where it can. They are
    literals like any other: nothing in them is a tag.

    Args:
        template: the template.
        blocks: block key -> token ids of its words.
        vocabulary: the tokenizer that they belong to.
    """
    nodes: list[Node] = []
    after_words = False
    for i, node in enumerate(template.nodes):
        if isinstance(node, Soft):
            before = ""
            if nodes and isinstance(last := nodes[-1], Literal):
                before = last.text.rstrip()  # a slot takes in the white space before it
                nodes.pop()
            words = _spelt(blocks[template.block_of(i).key], before, vocabulary)
            parted = " " if _run_together(before if before or not nodes else nodes[-1], words) else ""
            nodes.append(Literal(before + parted + words))
        elif after_words and isinstance(last := nodes[-1], Literal) and _run_together(last.text, node):
            nodes += [Literal(" "), node]
        else:
            nodes.append(node)
        after_words = isinstance(node, Soft)
    return Template.from_nodes(nodes)


def without_slots(template: Template) -> Template:
    r"""The template without its soft slots; white space on both sides of one becomes that behind it.

    >>> without_slots(Template("<soft*10> Review: <text> <soft*2>\nSentiment:<soft> <mask>"))
    Template('Review: <text>\nSentiment: <mask>')
    """
    nodes: list[Node] = []
    gap = False
    for node in template.nodes:
        if isinstance(node, Soft):
            gap = True
            continue
        if gap and isinstance(node, Literal) and node.text[0].isspace():
            if not nodes:
                node = Literal(node.text.lstrip())
            elif isinstance(last := nodes[-1], Literal):
                nodes[-1] = Literal(last.text.rstrip())
        nodes.append(node)
        gap = False
    return Template.from_nodes(nodes)


def _spelt(ids: Sequence[int], before: str, vocabulary: Vocabulary) -> str:
    """The text of tokens, with or without a space in front, so that behind `before` it is read as these tokens."""
    text = vocabulary.decode(ids)
    known = vocabulary.ids(before)
    candidates = (text, f" {text.lstrip()}", text.lstrip())
    return next((own for own in candidates if vocabulary.ids(before + own) == [*known, *ids]), text)


def _run_together(one: str | Node, other: str | Node) -> bool:
    """Whether two words would become one where there is no space between these; what is not known yet is a word."""
    return all(map(_is_of_word, (_edge(one, -1), _edge(other, 0))))


def _edge(part: str | Node, at: int) -> str:
    """The first or the last character."""
    match part:
        case Literal(text):
            return text[at]
        case str():
            return part[at] if part else ""
        case Field() | Expression() | Options():
            return "x"
        case _:
            return ""


def _is_of_word(char: str) -> bool:
    """Whether words are written of it that have spaces between them: no punctuation, and no Chinese character.

    >>> [*map(_is_of_word, ("a", "é", "7", "好", ":", ""))]
    [True, True, True, False, False, False]
    """
    return char.isalnum() and char < "\u2e80"
