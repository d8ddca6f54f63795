"""Inputs of a model: embeddings of token ids and soft vectors, token types, attention masks and position ids."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softcloze.backbone.family import first_position, per_layer_embedding
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.packing import Packing
from softcloze.backbone.soft_inputs import Slots, SoftInputs, keys_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ModelInputs:
    """Make the inputs of a model from token ids, of which negative ones are soft vectors.

    Attributes:
        model: the model.
        first_position: the position id of the first token.
        uses_token_types: whether tokenizer and model mark the two texts of a pair by token types.
        accepts_positions: whether the model takes position ids.
    """

    def __init__(self, model: "PreTrainedModel", *, typed_pairs: bool):
        """Read from `model` which inputs it takes.

        Args:
            model: the model.
            typed_pairs: whether the tokenizer marks the two texts of a pair by token types.
        """
        self.model = model
        self.first_position = first_position(model)
        accepted = set(inspect.signature(model.forward).parameters)
        # GPT-2 takes token types as well, but as words of its vocabulary; RoBERTa has only one
        several_types = getattr(model.config, "type_vocab_size", 0) > 1
        self.uses_token_types = several_types and typed_pairs and "token_type_ids" in accepted
        self.accepts_positions = "position_ids" in accepted
        self._embed_per_layer = per_layer_embedding(model)

    @property
    def embeds_per_layer(self) -> bool:
        """True if the model embeds token ids once more for each layer."""
        return self._embed_per_layer is not None

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of token ids, shape (*ids, width), without gradient, in the model's precision."""
        with torch.no_grad():
            embedded: Tensor = self.model.get_input_embeddings()(ids.to(self.model.device))
        return embedded

    def padded(
        self,
        sequences: Sequence[Sequence[int]],
        token_type_ids: Sequence[Sequence[int] | None] | None,
        soft: SoftInputs | None,
        prefix: PrefixCache | None,
        late_positions: Sequence[Sequence[int]] = (),
    ) -> tuple[dict[str, Any], Slots]:
        """Embeddings, token types, attention mask and position ids of `sequences` that follow `prefix`; their slots."""
        device = self.model.device
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        position_ids = torch.arange(int(lengths.max())).expand(len(sequences), -1)
        mask = position_ids < lengths[:, None]
        ids = torch.zeros(position_ids.shape, dtype=torch.long)
        ids[mask] = torch.tensor([i for sequence in sequences for i in sequence])
        ids = ids.to(device)
        embedded = self.embed(ids.clamp(min=0))
        index = (ids < 0).flatten().nonzero()[:, 0]
        slots = Slots(index, -1 - ids.flatten()[index])
        if soft is not None:
            vectors = soft.embeddings.index_select(0, slots.rows).to(embedded.dtype)
            embedded = embedded.flatten(0, 1).index_copy(0, slots.positions, vectors).view_as(embedded)
            if soft.below is not None and prefix is None:
                types = token_type_ids if token_type_ids is not None else [None] * len(sequences)
                slots = slots._replace(known=soft.below.of(keys_of(sequences, types)))
            if soft.late and late_positions:
                fields = torch.zeros(position_ids.shape)
                for row, of_field in zip(fields, late_positions, strict=True):
                    row[list(of_field)] = 1
                slots = slots._replace(fields=fields.to(device))
        inputs: dict[str, Any] = {"inputs_embeds": embedded}
        if self._embed_per_layer is not None:
            inputs["per_layer_inputs"] = self._embed_per_layer(ids)
        if self.uses_token_types and token_type_ids is not None:
            padded_types = torch.zeros(position_ids.shape, dtype=torch.long)
            typed = zip(sequences, token_type_ids, strict=True)
            filled = [types if types is not None else [0] * len(sequence) for sequence, types in typed]
            padded_types[mask] = torch.tensor([token_type for types in filled for token_type in types])
            inputs["token_type_ids"] = padded_types.to(device)
        if prefix is not None:
            # padding has position 0: after a long prefix it would lie beyond the last position of the model
            position_ids = (position_ids + prefix.lengths[:, None]) * mask
            mask = torch.cat([prefix.mask(), mask], dim=1)
        inputs["attention_mask"] = mask.to(device, torch.long)
        if self.accepts_positions:
            inputs["position_ids"] = (position_ids + self.first_position).to(device)
        return inputs, slots

    def packed(
        self, packing: Packing, soft: SoftInputs | None, prefix: PrefixCache | None
    ) -> tuple[dict[str, Any], Slots]:
        """Inputs as of `padded` for trees of packed sequences; a position is visible to those that follow it."""
        position_ids, visible = packing.depths + self.first_position, packing.visible
        if prefix is not None:
            position_ids += prefix.lengths[:, None]
            visible = torch.cat([prefix.mask()[:, None].expand(-1, visible.shape[1], -1), visible], dim=-1)
        inputs, slots = self.padded(packing.ids, None, soft, prefix)
        hidden = ~visible[:, None].to(self.model.device)
        lowest = torch.finfo(self.model.dtype).min  # the form that every kind of attention takes
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=hidden.device).masked_fill(hidden, lowest)
        return inputs | {"position_ids": position_ids.to(hidden.device), "attention_mask": mask}, slots
