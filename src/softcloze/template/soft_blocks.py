"""Assign soft slots to trainable blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import line_and_column, quoted
from softcloze.template.nodes import Placed, Soft


@dataclass(frozen=True, slots=True)
class SoftBlock:
    """One block of trainable vectors.

    Attributes:
        key: the name that its slots share, or "#1", "#2", … for slots without a name.
        count: number of vectors; None for the number of tokens of `init`.
        init: words whose embeddings initialise the vectors.
    """

    key: str
    count: int | None
    init: str | None


@dataclass(slots=True)
class _Draft:
    """The count and init of one name so far, and the positions of the slots that set them."""

    count: int | None = None
    init: str | None = None
    count_at: int = 0
    init_at: int = 0


def assign_blocks(placed: Sequence[Placed], source: str) -> tuple[SoftBlock | None, ...]:
    """The soft block of each node; None for nodes other than soft slots.

    Raises:
        TemplateSyntaxError: two slots of one name differ in count or init.
    """
    keys: list[str | None] = []
    drafts: dict[str, _Draft] = {}
    unnamed = 0
    for node, start, end in placed:
        if not isinstance(node, Soft):
            keys.append(None)
            continue
        if node.name is None:
            unnamed += 1
        key = node.name if node.name is not None else f"#{unnamed}"
        keys.append(key)
        _merge(drafts.setdefault(key, _Draft()), node, source, start, end)
    blocks = {key: _block(key, draft) for key, draft in drafts.items()}
    return tuple(None if key is None else blocks[key] for key in keys)


def _merge(draft: _Draft, node: Soft, source: str, start: int, end: int) -> None:
    shared = quoted(node.name)
    if node.count is not None:
        if draft.count is None:
            draft.count, draft.count_at = node.count, start
        elif draft.count != node.count:
            there = f"{draft.count} at {line_and_column(source, draft.count_at)}"
            problem = f"soft slots named {shared} share one block, but its count is {there} and {node.count} here"
            raise TemplateSyntaxError(problem, source, start, end)
    if node.init is not None:
        if draft.init is None:
            draft.init, draft.init_at = node.init, start
        elif draft.init != node.init:
            there = f"{quoted(draft.init)} at {line_and_column(source, draft.init_at)}"
            problem = f"soft slots named {shared} share one block, but its init is {there} and {quoted(node.init)} here"
            raise TemplateSyntaxError(problem, source, start, end)


def _block(key: str, draft: _Draft) -> SoftBlock:
    count = 1 if draft.count is None and draft.init is None else draft.count
    return SoftBlock(key, count, draft.init)
