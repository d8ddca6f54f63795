"""The forward pass: token ids and soft vectors in, logits and hidden states at some positions out."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from softcloze.backbone.family import Family
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.layers import TEXTS, Layers, find_layers
from softcloze.backbone.lm_head import WHOLE_HEAD, HeadPart, LMHead, Outputs, StatesOf
from softcloze.backbone.locking import lock_of
from softcloze.backbone.model_inputs import ModelInputs
from softcloze.backbone.packing import Packing
from softcloze.backbone.seq2seq import decoder_inputs, decoder_start
from softcloze.backbone.soft_inputs import Slots, SoftInputs, StatesBelow, keys_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ForwardPass:
    """Run a model on sequences of token ids, in which negative ids are soft vectors.

    Attributes:
        model: the model.
        family: "masked", "causal" or "seq2seq".
        head: its language-modelling head.
        inputs: makes its inputs.
    """

    def __init__(self, model: "PreTrainedModel", family: Family, *, typed_pairs: bool):
        """Read from `model` which inputs it takes.

        Args:
            model: the model.
            family: "masked", "causal" or "seq2seq".
            typed_pairs: whether the tokenizer marks the two texts of a pair by token types.
        """
        self.model = model
        self.family: Family = family
        self.head = LMHead(model)
        self.inputs = ModelInputs(model, typed_pairs=typed_pairs)
        self._accepts_cache = "use_cache" in inspect.signature(model.forward).parameters

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        device: torch.device = self.model.device
        return device

    @property
    def attention(self) -> str:
        """The attention implementation that runs here: the model's own, or ours instead of "sdpa"."""
        from softcloze.backbone.attention import CUSTOM_ATTENTION, use_custom_attention

        loaded: str = self.model.config._attn_implementation
        return CUSTOM_ATTENTION if self.family != "seq2seq" and use_custom_attention(self.model) else loaded

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the model in evaluation mode; restore every flag and its attention afterwards.

        Other threads wait until then to use the model.
        """
        with lock_of(self.model):
            trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            training = [module for module in self.model.modules() if module.training]
            config, loaded, used = self.model.config, self.model.config._attn_implementation, self.attention
            try:
                if trainable:  # nearly always none are: each of these calls walks through all modules again
                    self.model.requires_grad_(False)
                if training:
                    self.model.eval()
                if used != loaded:
                    config._attn_implementation = used
                yield
            finally:
                if used != loaded:
                    config._attn_implementation = loaded
                for parameter in trainable:
                    parameter.requires_grad_(True)
                for module in training:
                    module.training = True

    @cached_property
    def layers(self) -> Layers:
        """The layers at which soft vectors can enter, of a seq2seq model its encoder's.

        Raises:
            BackboneError: the model has no such layers.
        """

        def run() -> Tensor:
            if self.family == "seq2seq":
                start = decoder_start(self.model)
                return self.padded([[start if start is not None else 0]] * 2, [[0]] * 2, sources=TEXTS).logits
            return self.padded(TEXTS, [[3], [3]]).logits

        with self.frozen(), torch.no_grad():
            return find_layers(self.model, run)

    @contextmanager
    def entering(self, soft: SoftInputs | None, slots: Slots) -> Iterator[None]:
        """Have the vectors of `soft` enter at later layers in the forward pass of a `with` block."""
        if soft is None or not soft.layers:
            yield
            return
        with ExitStack() as stack:
            if slots.known is not None and soft.below is not None:
                stack.enter_context(self.layers.skipping(range(soft.below.layer)))
            stack.enter_context(self.layers.changing(lambda layer, states: soft.enter(layer, states, slots)))
            yield

    def layer_states(self, ids: Sequence[int], soft: SoftInputs | None) -> Tensor:
        """Hidden states in front of each layer; see `Backbone.layer_states` for the arguments."""
        states: list[Tensor] = []

        def keep(_: int, given: Tensor) -> Tensor:
            states.append(given[0].float().cpu())
            return given

        inputs, _ = self.inputs.padded([ids], None, soft, None)
        with torch.no_grad(), self.layers.changing(keep):
            self.stack(**inputs)
        return torch.stack(states)

    def states_below(
        self,
        layer: int,
        sequences: Sequence[Sequence[int]],
        token_type_ids: Sequence[Sequence[int] | None],
        soft: SoftInputs,
    ) -> StatesBelow:
        """Hidden states of sequences in front of a layer; see `Backbone.states_below` for the arguments."""
        kept: list[Tensor] = []

        def keep(index: int, states: Tensor) -> Tensor:
            if index == layer:
                kept.extend(of_row[: len(ids)].clone() for of_row, ids in zip(states, sequences, strict=True))
            return states

        inputs, _ = self.inputs.padded(sequences, token_type_ids, soft, None)
        layers = self.layers
        with torch.no_grad(), layers.skipping(range(layer, layers.count)), layers.changing(keep):
            self.stack(**inputs)
        return StatesBelow(layer, dict(zip(keys_of(sequences, token_type_ids), kept, strict=True)))

    @property
    def stack(self) -> nn.Module:
        """The part of the model without its head that takes soft slots."""
        # the base model of a PEFT wrapper has its head; the layers of adapters are inside
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        stack: nn.Module = model.get_encoder() if self.family == "seq2seq" else model.base_model
        return stack

    def padded(
        self,
        sequences: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]],
        state_positions: Sequence[Sequence[int]] = (),
        *,
        states_of: StatesOf = "head",
        token_type_ids: Sequence[Sequence[int] | None] | None = None,
        sources: Sequence[tuple[int, ...]] = (),
        soft: SoftInputs | None = None,
        prefix: PrefixCache | None = None,
        prefix_index: Sequence[int] = (),
        part: HeadPart = WHOLE_HEAD,
        late_positions: Sequence[Sequence[int]] = (),
    ) -> Outputs:
        """Run each sequence in a row of its own; see `Backbone.outputs` for the arguments."""
        if prefix is not None:
            prefix = prefix.select(prefix_index, capacity=max(map(len, sequences)))
        if self.family == "seq2seq":
            keys = list(zip(sources, map(tuple, late_positions or [()] * len(sources)), strict=True))
            source_index = {key: i for i, key in enumerate(dict.fromkeys(keys))}
            encoded, located = zip(*source_index, strict=True)
            encoder_inputs, slots = self.inputs.padded(encoded, None, soft, None, located)
            text_index = [source_index[key] for key in keys]
            with self.entering(soft, slots):
                inputs = decoder_inputs(self.model, encoder_inputs, text_index, sequences)
            soft = None  # the decoder has no slots
        else:
            inputs, slots = self.inputs.padded(sequences, token_type_ids, soft, prefix, late_positions)
        if prefix is not None:
            inputs["past_key_values"] = prefix.cache(self.device)
        if self._accepts_cache:
            inputs["use_cache"] = prefix is not None
        read = _flat(positions, state_positions)
        with self.entering(soft, slots):
            if states_of != "encoder":
                return self._outputs(inputs, *read, part, states_of)
            sequence, position, scored = read
            outputs = self.head.outputs(inputs, sequence[:scored], position[:scored], part)
        states = inputs["encoder_outputs"].last_hidden_state
        sequence, position = sequence[scored:].to(self.device), position[scored:].to(self.device)
        return outputs._replace(states=states[sequence, position].float())

    def packed(
        self,
        packing: Packing,
        positions: Sequence[Sequence[int]],
        state_positions: Sequence[Sequence[int]] = (),
        *,
        states_of: StatesOf = "head",
        soft: SoftInputs | None = None,
        prefix: PrefixCache | None = None,
        part: HeadPart = WHOLE_HEAD,
    ) -> Outputs:
        """Run each tree of packed sequences in one row; `positions` are those of the sequences."""
        if prefix is not None:
            prefix = prefix.select(packing.prefix_index, capacity=packing.visible.shape[1])
        inputs, slots = self.inputs.packed(packing, soft, prefix)
        inputs["use_cache"] = prefix is not None
        if prefix is not None:
            inputs["past_key_values"] = prefix.cache(self.device)
        sequence, position, scored = _flat(positions, state_positions)
        nodes = packing.node_index[sequence, position]
        with self.entering(soft, slots):
            return self._outputs(inputs, packing.tree_index[sequence], nodes, scored, part, states_of)

    def _outputs(
        self, inputs: dict[str, Any], rows: Tensor, positions: Tensor, scored: int, part: HeadPart, states_of: StatesOf
    ) -> Outputs:
        """Logits at the first `scored` positions of some rows of `inputs`, and hidden states at the others."""
        if states_of == "head":
            return self.head.outputs(inputs, rows, positions, part, scored)
        at, states = (rows[scored:].to(self.device), positions[scored:].to(self.device)), torch.empty(0)

        def keep(_: int, given: Tensor) -> Tensor:
            nonlocal states
            states = given[at].float()
            return given

        with self.layers.changing(keep, only=self.layers.count - 1):
            outputs = self.head.outputs(inputs, rows[:scored], positions[:scored], part)
        return outputs._replace(states=states)

    def prefill(
        self,
        sequences: Sequence[Sequence[int]],
        soft: SoftInputs | None = None,
        prefix: PrefixCache | None = None,
        part: HeadPart = WHOLE_HEAD,
    ) -> PrefixCache:
        """Compute keys and values without gradient; see `Backbone.prefill` for the arguments."""
        from softcloze.backbone.attention import PrefixKVCache

        cache = PrefixKVCache()
        if prefix is not None:
            prefix = prefix.select(range(len(sequences)), capacity=max(map(len, sequences)))
            cache = prefix.cache(self.device)
        with torch.no_grad():
            inputs, slots = self.inputs.padded(sequences, None, soft, prefix)
            inputs |= {"past_key_values": cache, "use_cache": True}
            nothing = torch.empty(0, dtype=torch.long)
            with self.entering(soft, slots):
                self.head.outputs(inputs, nothing, nothing, part)
        added = torch.tensor([len(sequence) for sequence in sequences])
        before = prefix.padded_length if prefix is not None else 0
        lengths = added + prefix.lengths if prefix is not None else added
        longest = int(lengths.max())
        # from padding on the right to padding on the left
        source = torch.arange(longest) - longest + before + added[:, None]
        source = source.clamp(min=0).to(self.device)[:, None, :, None]

        def aligned(tensor: Tensor) -> Tensor:
            return tensor.gather(2, source.expand(-1, tensor.shape[1], -1, tensor.shape[3]))

        return PrefixCache(tuple((aligned(layer.keys), aligned(layer.values)) for layer in cache.layers), lengths)


def _flat(positions: Sequence[Sequence[int]], state_positions: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, int]:
    """The index of the sequence and the position of each, shape (positions,), and the number before `state_positions`.

    >>> _flat([[5], [6, 7]], [[], [3]])
    (tensor([0, 1, 1, 1]), tensor([5, 6, 7, 3]), 3)
    """
    lists = (positions, state_positions)
    pairs = [(i, position) for several in lists for i, own in enumerate(several) for position in own]
    sequence, position = torch.tensor(pairs, dtype=torch.long).view(-1, 2).T.contiguous()
    return sequence, position, sum(map(len, positions))
