"""The vectors that a forward pass takes at soft slots: input embeddings, and vectors that enter at later layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, Self, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from softcloze.backbone.kv_cache import PrefixCache
from softcloze.errors import EncodingError

NOTHING_AFTER_PREFIX = (
    "an example is empty, and nothing stands between a prefix of keys and values and the mask, where the model has no "
    "scores; leave the example out"
)


class LayerVectors(NamedTuple):
    """Vectors that enter the hidden states in front of one layer.

    Attributes:
        vectors: of each soft slot, shape (soft, layer width); zeros for one that takes none here.
        replaces: whether each replaces the hidden state instead of being added, shape (soft,); None if none does.
    """

    vectors: Tensor
    replaces: Tensor | None = None


class FieldNetwork(NamedTuple):
    """A network that adds to the vectors of a soft block, for each example, what its field gives.

    Attributes:
        field: name of the field.
        rows: the rows of the block.
        down: first layer, shape (bottleneck, input width).
        up: second layer, shape (count, width, bottleneck).
        by_states: whether the input is the mean of the model's states of the field, not of its input embeddings.
        layer: index of the layer in front of which the vectors enter; 0 for input embeddings. At a later layer the
            input is the mean of the states of the field's tokens there, each divided by its root mean square, for a
            few tokens have states a thousand times as long as the others.

    Source:
        IDPG: Wu et al., NAACL 2022, arXiv:2204.04497, in its variants with mean word vectors of the input, and with
        states of a forward pass over it; ours are the mean of all tokens, not [CLS], which a causal model lacks. At a
        later layer LPT: Liu et al., Findings of EMNLP 2022, arXiv:2210.11292, whose networks have ReLU.
    """

    field: str
    rows: range
    down: Tensor
    up: Tensor
    by_states: bool = False
    layer: int = 0

    def vectors(self, base: Tensor, inputs: Tensor) -> Tensor:
        """The vectors of the block for each example: base + up tanh(down input).

        Args:
            base: the vectors that all examples share, shape (count, width).
            inputs: the input of each example, shape (examples, input width).

        Returns:
            Shape (examples, count, width).
        """
        return base + torch.einsum("cwb,eb->ecw", self.up, torch.tanh(inputs @ self.down.T))


Key: TypeAlias = tuple[tuple[int, ...], tuple[int, ...] | None]
"""The ids and token types of a sequence."""


def keys_of(sequences: Sequence[Sequence[int]], token_type_ids: Sequence[Sequence[int] | None]) -> list[Key]:
    """The key of each sequence."""
    typed = zip(sequences, token_type_ids, strict=True)
    return [(tuple(ids), tuple(types) if types is not None else None) for ids, types in typed]


@dataclass(frozen=True)
class StatesBelow:
    """Hidden states in front of the first layer at which soft vectors enter, which training does not change.

    Attributes:
        layer: index of the layer.
        states: by ids and token types of a sequence, its hidden states, shape (ids, layer width).
    """

    layer: int
    states: Mapping[Key, Tensor]

    @property
    def bytes(self) -> int:
        """Memory of the states."""
        return sum(states.nbytes for states in self.states.values())

    def of(self, sequences: Sequence[Key]) -> Tensor | None:
        """The states of some sequences, padded on the right, shape (batch, longest, layer width).

        None if those of one are unknown.
        """
        if not all(sequence in self.states for sequence in sequences):
            return None
        return pad_sequence([self.states[sequence] for sequence in sequences], batch_first=True)


class Slots(NamedTuple):
    """The soft slots of a batch.

    Attributes:
        positions: their positions in the batch, flattened to shape (batch x length,), shape (slots,).
        rows: the row of the soft vectors that each takes, shape (slots,).
        known: hidden states of the batch in front of the first layer at which vectors enter, if they are known.
        fields: 1 at the tokens of the field on which vectors at a later layer depend and 0 elsewhere, shape (batch,
            length); None if there are no such vectors.
    """

    positions: Tensor
    rows: Tensor
    known: Tensor | None = None
    fields: Tensor | None = None


@dataclass(frozen=True)
class SoftInputs:
    """The vectors that soft slots take in a forward pass.

    Attributes:
        embeddings: input embeddings, shape (soft, width).
        layers: by index of the layer, what enters the hidden states in front of it; only layers from 1 on.
        below: the states of some sequences in front of the first of these layers, which need not be computed again.
        prefixes: by the row of its first slot, the keys and values of slots with which a sequence starts; their
            embeddings are not used.
        networks: of the blocks whose input embeddings depend on a field; `softcloze.scoring.field_vectors` gives each
            prompt rows of its own before a forward pass.
        field_states: mean states of fields by their token ids, as far as they are known, for networks `by_states`.
        late: the networks of the blocks that depend on a field at a later layer, computed in the forward pass.
    """

    embeddings: Tensor
    layers: Mapping[int, LayerVectors] = field(default_factory=dict)
    below: StatesBelow | None = None
    prefixes: Mapping[int, PrefixCache] = field(default_factory=dict)
    networks: tuple[FieldNetwork, ...] = ()
    field_states: Mapping[tuple[int, ...], Tensor] = field(default_factory=dict)
    late: tuple[FieldNetwork, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.embeddings)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All vectors by a name for messages."""
        deep = {f"its soft vectors at layer {layer}": entry.vectors for layer, entry in self.layers.items()}
        layers = {
            f"its network for the field {n.field!r} ({kind})": getattr(n, kind)
            for n in (*self.networks, *self.late)
            for kind in ("down", "up")
        }
        return {"its soft vectors": self.embeddings, **deep, **layers}

    def enter(self, layer: int, states: Tensor, slots: Slots) -> Tensor:
        """The hidden states in front of a layer with the vectors of the slots.

        Args:
            layer: index of the layer.
            states: shape (batch, length, layer width).
            slots: the soft slots of the batch.
        """
        if slots.known is not None and self.below is not None and layer == self.below.layer:
            states = slots.known
        if layer not in self.layers or not len(slots.positions):
            return states
        of_rows, replaces = self.layers[layer]
        vectors = of_rows.index_select(0, slots.rows).to(states.dtype)
        flat = states.flatten(0, 1)
        if replaces is None:
            entered = flat.index_add(0, slots.positions, vectors)
        else:
            added = flat.index_select(0, slots.positions) + vectors
            entering = torch.where(replaces.index_select(0, slots.rows)[:, None], vectors, added)
            entered = flat.index_copy(0, slots.positions, entering)
        for network in self.late:
            if network.layer == layer:
                entered = _add_late(network, states, slots, entered)
        return entered.view_as(states)

    def prefix_of(self, sequences: Sequence[Sequence[int]]) -> tuple[PrefixCache, list[int]] | None:
        """The known keys and values with which sequences start, and for each sequence the index of its own.

        A sequence that starts with none has an empty prefix. None if all of them do.

        Raises:
            EncodingError: such slots stand elsewhere, or nothing follows them.
        """
        if not self.prefixes:
            return None
        rows = [-1 - ids[0] if ids and -1 - ids[0] in self.prefixes else None for ids in sequences]
        for ids, row in zip(sequences, rows, strict=True):
            count = int(self.prefixes[row].lengths[0]) if row is not None else 0
            if any(-1 - i in self.prefixes for i in ids[count:]):
                raise EncodingError(
                    "a prefix of keys and values stands in front of all; write <bos> or <cls> after its slots, as in "
                    "<soft*N name=peft><bos>, if the tokenizer adds one"
                )
            if len(ids) < count:
                raise EncodingError(NOTHING_AFTER_PREFIX)
        if not any(row is not None for row in rows):
            return None
        chosen = list(dict.fromkeys(rows))
        like = next(iter(self.prefixes.values()))
        empty = PrefixCache(tuple((k[:, :, :0], v[:, :, :0]) for k, v in like.layers), like.lengths * 0)
        parts = [self.prefixes[row] if row is not None else empty for row in chosen]
        return PrefixCache.join(parts), [chosen.index(row) for row in rows]

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the rows of several; rows of one that has nothing at a layer take zeros there.

        Networks are left out, except for those of later layers: their vectors are rows of their own by then.

        >>> one = SoftInputs(torch.zeros(2, 4), {3: LayerVectors(torch.ones(2, 6))})
        >>> joined = SoftInputs.join([one, SoftInputs(torch.zeros(1, 4))])
        >>> len(joined), joined.layers[3].vectors[:, 0].tolist()
        (3, [1.0, 1.0, 0.0])
        """
        layers: dict[int, LayerVectors] = {}
        for layer in sorted({layer for part in parts for layer in part.layers}):
            entries = [part.layers.get(layer) for part in parts]
            like = next(entry.vectors for entry in entries if entry is not None)
            vectors = [
                entry.vectors if entry is not None else like.new_zeros(len(part), like.shape[1])
                for part, entry in zip(parts, entries, strict=True)
            ]
            replaces = None
            if any(entry is not None and entry.replaces is not None for entry in entries):
                replaces = torch.cat(
                    [
                        entry.replaces
                        if entry is not None and entry.replaces is not None
                        else like.new_zeros(len(part), dtype=torch.bool)
                        for part, entry in zip(parts, entries, strict=True)
                    ]
                )
            layers[layer] = LayerVectors(torch.cat(vectors), replaces)
        first_rows = [0, *accumulate(map(len, parts))][:-1]
        prefixes = {
            first + row: prefix
            for first, part in zip(first_rows, parts, strict=True)
            for row, prefix in part.prefixes.items()
        }
        late = tuple(
            network._replace(rows=range(first + network.rows.start, first + network.rows.stop))
            for first, part in zip(first_rows, parts, strict=True)
            for network in part.late
        )
        return cls(torch.cat([part.embeddings for part in parts]), layers, prefixes=prefixes, late=late)


def _add_late(network: FieldNetwork, states: Tensor, slots: Slots, entered: Tensor) -> Tensor:
    """Add what a network makes of the states of a field to those of its slots.

    Args:
        network: enters in front of this layer.
        states: those in front of it, shape (batch, length, layer width).
        slots: the soft slots of the batch.
        entered: the states with all other vectors, shape (batch x length, layer width).
    """
    fields = slots.fields
    if fields is None:
        raise ValueError("vectors depend on a field at a later layer, and late_positions are missing")
    precise = states.float()
    unit = precise.square().mean(-1, keepdim=True).sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    sums = torch.einsum("bl,blw->bw", fields, precise / unit)
    base = precise.new_zeros(len(network.rows), precise.shape[-1])
    vectors = network.vectors(base, sums / fields.sum(1, keepdim=True).clamp(min=1))
    chosen = (slots.rows >= network.rows.start) & (slots.rows < network.rows.stop)
    positions, rows = slots.positions[chosen], slots.rows[chosen] - network.rows.start
    examples = torch.div(positions, states.shape[1], rounding_mode="floor")
    return entered.index_add(0, positions, vectors[examples, rows].to(entered.dtype))
