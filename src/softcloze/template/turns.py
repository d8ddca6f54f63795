"""Chat turns: the layout around their tags, and the rules that concern several nodes."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NoReturn

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import line_and_column
from softcloze.template.nodes import CHAT, Answer, Demos, Literal, Mask, Placed, Statement, Turn, edges

CODE = "chat-turn"


def without_layout(placed: Sequence[Placed], source: str) -> list[Placed]:
    r"""Drop the white space at both ends of each turn, which only lays out the template.

    <demos> at the start of a turn moves in front of it, since demonstrations are turns of their own. A template without
    chat turns stays as it is.

    >>> from softcloze.template.parser import parse
    >>> source = "<chat:user>\n  Good? \n<chat:assistant> <mask>\n"
    >>> [placed.node for placed in without_layout(parse(source), source)]
    [Turn(role='user'), Literal(text='Good?'), Turn(role='assistant'), Mask(count=None, name=None)]
    """
    if not any(isinstance(tag.node, Turn) for tag in placed):
        return list(placed)
    edge = [True, *(isinstance(tag.node, Turn | Demos) for tag in placed), True]  # before, at and after each node
    kept: list[Placed] = []
    for i, tag in enumerate(placed):
        tag = _trimmed(tag, source, start=edge[i], end=edge[i + 2])
        if tag.node != Literal(""):
            kept.append(tag)
    for i, (first, second) in enumerate(pairwise(kept)):
        if isinstance(first.node, Turn) and isinstance(second.node, Demos):
            kept[i : i + 2] = second, first
    return kept


def _trimmed(tag: Placed, source: str, *, start: bool, end: bool) -> Placed:
    """A node, if it is a literal without white space at the given ends, with the span of the rest."""
    if not isinstance(tag.node, Literal):
        return tag
    text, written = tag.node.text, source[tag.start : tag.end]
    if start:
        text, written = text.lstrip(), written.lstrip()
    first = tag.end - len(written)
    if end:
        text, written = text.rstrip(), written.rstrip()
    return tag if text == tag.node.text else Placed(Literal(text), first, first + len(written))


def validate_turns(placed: Sequence[Placed], source: str) -> tuple[Turn, ...]:
    """Validate the chat turns of a template, and return them in order; none for a template without.

    Args:
        placed: the nodes, as `without_layout` returns them, with masks or an answer and Jinja that are valid.
        source: the template, for messages.

    Raises:
        TemplateSyntaxError: text before the first turn, an empty turn, two system turns or a late one, a turn inside
            Jinja, a mask or answer outside the last turn, a last turn that is not the assistant's, or <demos> inside a
            turn; shows the place.
    """
    turns = [i for i, tag in enumerate(placed) if isinstance(tag.node, Turn)]
    if not turns:
        return ()
    rules = _Rules(placed, source)
    rules.validate_start(turns[0])
    for first, stop in zip(turns, [*turns[1:], len(placed)], strict=True):
        rules.validate_content(first, stop)
    rules.validate_blocks()
    rules.validate_system(turns)
    rules.validate_masks(turns)
    rules.validate_demos()
    return tuple(rules.turns())


class _Rules:
    """The rules for chat turns, one method each."""

    def __init__(self, placed: Sequence[Placed], source: str) -> None:
        self.placed, self.source = placed, source
        self.nodes = [tag.node for tag in placed]

    def turns(self) -> Iterator[Turn]:
        return (node for node in self.nodes if isinstance(node, Turn))

    def validate_start(self, first: int) -> None:
        """Only demonstrations and Jinja statements stand before the first turn."""
        for i in range(first):
            if not isinstance(self.nodes[i], Demos | Statement):
                self.fail(i, f"this is before the first chat turn: put it after {self.tag(first)}")

    def validate_content(self, first: int, stop: int) -> None:
        """A turn holds something that can be written."""
        if all(isinstance(node, Demos | Statement) for node in self.nodes[first + 1 : stop]):
            self.fail(first, f"this turn is empty: write something after {self.tag(first)}, or leave it out")

    def validate_blocks(self) -> None:
        """Jinja blocks begin and end inside one turn."""
        depth = 0
        for i, node in enumerate(self.nodes):
            match node:
                case Statement(inside):
                    keyword = edges(inside)[1].split(maxsplit=1)[0]
                    depth += (keyword in ("if", "for")) - keyword.startswith("end")
                case Turn() if depth:
                    problem = f"{self.tag(i)} is inside {{% if … %}} or {{% for … %}}"
                    self.fail(i, f"{problem}: every example has the same turns; move it out and vary what a turn says")

    def validate_system(self, turns: Sequence[int]) -> None:
        """The system's turn is the first and only one."""
        system = [i for i in turns if self.nodes[i] == Turn("system")]
        if len(system) > 1:
            there = line_and_column(self.source, self.placed[system[0]].start)
            problem = f"a template has only one {self.tag(system[0])}, and this is the second: the first is at {there}"
            self.fail(system[1], problem)
        if system and system[0] != turns[0]:
            self.fail(system[0], f"{self.tag(system[0])} comes first, before {self.tag(turns[0])}")

    def validate_masks(self, turns: Sequence[int]) -> None:
        """All masks, or the answer, stand in the last turn, which is the assistant's."""
        last = turns[-1]
        for i, node in enumerate(self.nodes):
            if not isinstance(node, Mask | Answer) or (i > last and self.nodes[last] == Turn("assistant")):
                continue
            role = next(turn.role for turn in self.nodes[i::-1] if isinstance(turn, Turn))
            what = "a mask" if isinstance(node, Mask) else "<answer>"
            problem = f"{what} stands in the last turn, which is the assistant's; this turn is the {role}'s"
            self.fail(
                i, f"{problem}, and others follow" if i < last else f"{problem}: write <{CHAT}assistant> before it"
            )

    def validate_demos(self) -> None:
        """Demonstrations stand between turns, in front of a turn of the user, and are separated by nothing else."""
        for i, node in enumerate(self.nodes):
            if not isinstance(node, Demos):
                continue
            if i + 1 == len(self.nodes) or self.nodes[i + 1] != Turn("user"):
                problem = "demonstrations are turns of the user and the assistant, so <demos> stands directly before"
                self.fail(i, f"{problem} <{CHAT}user>, or directly after it")
            if node.sep != Demos().sep:
                self.fail(i, "the tokenizer's chat template separates demonstrations in chat turns: leave out sep")

    def tag(self, i: int) -> str:
        """The tag of a turn."""
        return next(f"<{CHAT}{node.role}>" for node in self.nodes[i : i + 1] if isinstance(node, Turn))

    def fail(self, i: int, problem: str) -> NoReturn:
        _, start, end = self.placed[i]
        raise TemplateSyntaxError(problem, self.source, start, end, CODE)
