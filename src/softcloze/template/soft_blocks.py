"""Assign soft slots to trainable blocks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import did_you_mean, line_and_column, quoted, quoted_list
from softcloze.template.nodes import EMBEDDING, Field, FromBy, LayerRange, Mask, Mode, Placed, Soft, Via

# attributes of a block, which each of its slots may give
_SHARED = ("count", "init", "layers", "mode", "via", "train", "from_", "from_by")


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
        from_: the field that they depend on; None for none.
        from_by: whether they depend on its input embeddings or on the states of the model; unused at a later layer,
            where they depend on the states in front of it.
    """

    key: str
    count: int | None
    init: str | None
    layers: LayerRange = EMBEDDING
    mode: Mode = "add"
    via: Via | None = None
    train: bool = True
    from_: str | None = None
    from_by: FromBy = "embeddings"

    @property
    def late(self) -> bool:
        """True if its vectors depend on a field and enter at a later layer."""
        return self.from_ is not None and self.layers != EMBEDDING


def assign_blocks(placed: Sequence[Placed], source: str) -> tuple[SoftBlock | None, ...]:
    """The soft block of each node; None for nodes other than soft slots.

    Raises:
        TemplateSyntaxError: two slots of one name differ in an attribute; a block has via= and train=no; or from= names
            no field of the template, is combined with via= or train=no, or at later layers with several layers, with
            from_by=, with another such block or with several masks; or from_by= is given without it.
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
                    f"but its {attribute.rstrip('_')} is {there} and {_shown(value)} here"
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

    blocks = tuple(None if key is None else block(key) for key in keys)
    _validate_dependent(placed, blocks, source)
    return blocks


def _validate_dependent(placed: Sequence[Placed], blocks: Sequence[SoftBlock | None], source: str) -> None:
    """Validate the blocks with from= and from_by=."""
    fields = dict.fromkeys(node.name for node, _, _ in placed if isinstance(node, Field))
    for (node, start, end), block in zip(placed, blocks, strict=True):
        if not isinstance(node, Soft) or block is None:
            continue
        problem = ""
        if node.from_by is not None and block.from_ is None:
            problem = (
                f"from_by={node.from_by} needs the name of a field as well, as in from=text from_by={node.from_by}"
            )
        elif node.from_ is not None:
            problem = _problem_of_from(node.from_, block, fields) or _problem_of_late(node, block, placed, blocks)
        if problem:
            raise TemplateSyntaxError(problem, source, start, end, "soft-from")


def _problem_of_from(name: str, block: SoftBlock, fields: Collection[str]) -> str:
    """The problem of a block with from=, if any: it has no other network, is trained, and the field is shown."""
    if block.via is not None:
        return f"from={name} and via={block.via} are two networks for the same vectors: leave one of them out"
    if not block.train:
        return f"from={name} is a network that is trained, and train=no leaves it as it is: take one of them out"
    if name not in fields:
        others = f"it shows {quoted_list(fields)}" if fields else "it shows none"
        return f"from={name} names no field that the template shows: {others}{did_you_mean(name, fields)}"
    return ""


def _problem_of_late(node: Soft, block: SoftBlock, placed: Sequence[Placed], blocks: Sequence[SoftBlock | None]) -> str:
    """The problem of a block with from= at later layers, if any: it enters at one, and is the only such block."""
    if not block.late:
        return ""
    start, layers = f"from={block.from_} with layers={block.layers}", block.layers
    if layers.first == 0 or layers.first != layers.last:
        return f"{start}: expected one layer after layer 0, as in layers=12"
    if node.from_by is not None or block.from_by != "embeddings":
        return (
            f"{start} depends on the states in front of layer {layers}: leave from_by={node.from_by or block.from_by} "
            "out"
        )
    first = next(other for other in blocks if other is not None and other.late)
    if first != block:
        return (
            f"{start}: soft block {quoted(first.key)} depends on a field at a later layer already, and there may be "
            "one such block; give both slots one name, or leave layers= out here"
        )
    if sum(isinstance(other, Mask) for other, _, _ in placed) > 1:
        return f"{start} takes a template with one mask: leave layers= out here"
    return ""


def _shown(value: object) -> str:
    """A value in a message."""
    if isinstance(value, bool):
        return "'yes'" if value else "'no'"
    return f"{value}" if isinstance(value, LayerRange) else quoted(value)
