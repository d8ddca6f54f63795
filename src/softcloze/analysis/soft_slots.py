"""The soft slots of a prompt: where their vectors enter, how long they are there, and what they depend on."""

from collections.abc import Sequence
from dataclasses import dataclass

from softcloze.display import Column, Table
from softcloze.formatting import one_line
from softcloze.prompt import GeneratorPrompt, Prompt
from softcloze.prompt.sources import describe_source
from softcloze.template import EMBEDDING, FromBy, LayerRange, Mode

_INPUTS: dict[FromBy, str] = {"embeddings": "its mean input embedding", "states": "the model's mean states of it"}


@dataclass(frozen=True, slots=True)
class SoftSlot:
    """A soft block of a prompt.

    Attributes:
        block: the name that its slots share, or "#1", "#2", … for slots without a name.
        vectors: their number.
        layers: the layers at which they enter, as in the template.
        mode: whether they are added to hidden states or replace them.
        train: False for a block with train=no.
        field: the field that its vectors depend on; None for none.
        by: what of the field input embeddings depend on.
        width: width of the bottleneck of the network that computes them from the field; None without one.
    """

    block: str
    vectors: int
    layers: LayerRange = EMBEDDING
    mode: Mode = "add"
    train: bool = True
    field: str | None = None
    by: FromBy = "embeddings"
    width: int | None = None

    @property
    def entry(self) -> str:
        """The layers in words.

        >>> SoftSlot("#1", 2).entry, SoftSlot("#1", 2, LayerRange(6, 11)).entry
        ('input embeddings', 'layers 6-11')
        """
        if self.layers == EMBEDDING:
            return "input embeddings"
        if self.layers.last is None:
            return "all layers"
        return f"{'layer' if self.layers.first == self.layers.last else 'layers'} {self.layers}"

    @property
    def dependence(self) -> str:
        """The field that the vectors depend on, in words; empty for none.

        >>> SoftSlot("#1", 2, field="text", width=16).dependence
        'the field text by its mean input embedding; network of width 16'
        """
        if self.field is None:
            return ""
        return f"the field {self.field} by {self._input}; network of width {self.width}"

    @property
    def _input(self) -> str:
        """The part of the field that the network takes, in words."""
        return _INPUTS[self.by] if self.layers == EMBEDDING else f"the model's states of it at {self.entry}"

    @property
    def remark(self) -> str:
        """The facts that a list of the input embeddings lacks, in a sentence; empty for a plain block.

        >>> SoftSlot("#1", 2, LayerRange(12, 12)).remark
        'block #1: enters at layer 12 alone; its input embeddings are those that it started with'
        """
        name = one_line(self.block)
        if self.field is not None:
            return (
                f"block {name}: base vectors, to which a network of width {self.width} adds what the field "
                f"{self.field} of each example gives by {self._input}"
            )
        if self.layers.first > 0:
            return f"block {name}: enters at {self.entry} alone; its input embeddings are those that it started with"
        return ""


@dataclass(frozen=True, slots=True)
class LayerLengths:
    """Lengths of the vectors of a block at one later layer.

    Attributes:
        block: the block, as in `SoftSlot`.
        layer: index of the layer.
        mode: "add" or "replace".
        lengths: the root mean square of each vector, in units of that of hidden states in front of the layer.
    """

    block: str
    layer: int
    mode: Mode
    lengths: tuple[float, ...]


def soft_slots(prompt: Prompt | GeneratorPrompt) -> tuple[SoftSlot, ...]:
    """The soft blocks of a trained prompt, in the order of its template."""
    slots = []
    for block in prompt.template.blocks:
        down = prompt.networks.get(f"{block.key}/down")
        prefix = prompt.prefixes.get(block.key)
        count = prefix.shape[2] if prefix is not None else len(prompt.vectors[block.key])
        width = len(down) if down is not None else None
        options = (block.layers, block.mode, block.train, block.from_, block.from_by)
        slots.append(SoftSlot(block.key, count, *options, width))
    return tuple(slots)


def layer_lengths(prompt: Prompt | GeneratorPrompt) -> tuple[LayerLengths, ...]:
    """Lengths at later layers; in absolute numbers for a prompt without a record of its training."""
    units = dict(prompt.training.get("layer_rms", ()))
    blocks = {block.key: block for block in prompt.template.blocks}
    return tuple(
        LayerLengths(
            key, layer, blocks[key].mode, tuple((vectors.square().mean(-1).sqrt() / units.get(layer, 1.0)).tolist())
        )
        for key, of_block in prompt.deep.items()
        for layer, vectors in enumerate(of_block, start=max(1, blocks[key].layers.first))
    )


def layer_table(layers: Sequence[LayerLengths]) -> Table:
    """A row for each block at each later layer."""
    lengths = [layer.lengths for layer in layers]
    return Table(
        [
            Column("block", [one_line(layer.block) for layer in layers]),
            Column("layer", [str(layer.layer) for layer in layers], is_number=True),
            Column("mode", [layer.mode for layer in layers]),
            Column("mean", [f"{sum(of_slot) / len(of_slot):.4f}" for of_slot in lengths], is_number=True),
            Column("least", [f"{min(of_slot):.4f}" for of_slot in lengths], is_number=True),
            Column("most", [f"{max(of_slot):.4f}" for of_slot in lengths], is_number=True),
        ]
    )


def slot_tables(prompt: Prompt) -> list[Table]:
    """A row for each soft block, and its lengths at later layers; nothing for a hard prompt."""
    slots = soft_slots(prompt)
    if not slots:
        return []
    prefixes = prompt.prefixes
    columns = [
        Column("soft block", [one_line(slot.block) for slot in slots]),
        Column("vectors", [f"{slot.vectors:,}" for slot in slots], is_number=True),
        Column("enter at", [slot.entry if slot.block not in prefixes else "keys and values" for slot in slots]),
        Column("mode", [slot.mode if slot.layers != EMBEDDING else "" for slot in slots]),
        Column("trained", ["yes" if slot.train else "no" for slot in slots]),
        Column("depend on", [slot.dependence for slot in slots]),
    ]
    if sources := prompt.training.get("sources", {}):
        said = [describe_source(sources[slot.block]) if slot.block in sources else "" for slot in slots]
        columns.append(Column("source", said))
    layers = layer_lengths(prompt)
    return [Table(columns), layer_table(layers)] if layers else [Table(columns)]
