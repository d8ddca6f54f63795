"""Assign soft slots to trainable blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import line_and_column, quoted
from softcloze.template.nodes import EMBEDDING, LayerRange, Mode, Placed, Soft, Via

_SHARED = ("count", "init", "layers", "mode", "via", "train")  # attributes of a block, which each of its slots may give


@dataclass(frozen=True, slots=True)
class SoftBlock:
    """One block of trainable vectors.

    Attributes:
        key: the name that its slots share, or "#1", "#2", … for slots without a name.
        count: number of vectors; None for the number of tokens of `init`.
        init: words whose embeddings initialise the vectors.
        layers: the layers at which the vectors enter; alone at layer 0 they are input embeddings and nothing else.
        mode: whether they are added to the hidden states in front of later layers, or replace them.
        via: the network whose output their input embeddings are while they are trained; None for none.
        train: False for a block that `fit` leaves as it is.
    """

    key: str
    count: int | None
    init: str | None
    layers: LayerRange = EMBEDDING
    mode: Mode = "add"
    via: Via | None = None
    train: bool = True


def assign_blocks(placed: Sequence[Placed], source: str) -> tuple[SoftBlock | None, ...]:
    """The soft block of each node; None for nodes other than soft slots.

    Raises:
        TemplateSyntaxError: two slots of one name differ in an attribute, or a block has via= and train=no.
    """
    keys: list[str | None] = []
    given: dict[tuple[str | None, str], tuple[Any, int]] = {}  # by key and attribute: the first value, its position
    unnamed = 0
    for node, start, end in placed:
        if not isinstance(node, Soft):
            keys.append(None)
            continue
        unnamed += node.name is None
        keys.append(node.name if node.name is not None else f"#{unnamed}")
        for attribute in _SHARED:
            value = getattr(node, attribute)
            if value is None:
                continue
            first, at = given.setdefault((keys[-1], attribute), (value, start))
            if first != value:
                there = f"{_shown(first)} at {line_and_column(source, at)}"
                problem = (
                    f"soft slots named {quoted(node.name)} share one block, "
                    f"but its {attribute} is {there} and {_shown(value)} here"
                )
                raise TemplateSyntaxError(problem, source, start, end, "soft-conflict")
        via, trains = (given.get((keys[-1], attribute), (None, 0))[0] for attribute in ("via", "train"))
        if via is not None and trains is False:
            problem = (
                f"via={via} is a network that is trained, and train=no leaves the vectors as they are: take one of "
                "them out"
            )
            raise TemplateSyntaxError(problem, source, start, end, "soft-conflict")

    def block(key: str) -> SoftBlock:
        options = {attribute: given[key, attribute][0] for attribute in _SHARED if (key, attribute) in given}
        count, init = options.pop("count", None), options.pop("init", None)
        return SoftBlock(key, 1 if count is None and init is None else count, init, **options)

    return tuple(None if key is None else block(key) for key in keys)


def _shown(value: object) -> str:
    """A value in a message."""
    if isinstance(value, bool):
        return "'yes'" if value else "'no'"
    return f"{value}" if isinstance(value, LayerRange) else quoted(value)
