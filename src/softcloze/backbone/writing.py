"""Write tokens after prompts: `generate` of transformers on embeddings with soft vectors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softcloze.backbone.forward import ForwardPass
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.soft_inputs import Slots, SoftInputs
from softcloze.errors import BackboneError

if TYPE_CHECKING:
    from transformers import Cache, GenerationConfig, PreTrainedModel


def validate_writer(forward: ForwardPass) -> None:
    """Raise BackboneError if a model cannot write after embeddings.

    Raises:
        BackboneError: a masked model, one that embeds token ids once more for each layer, or one with an adapter of
            PEFT that puts vectors of its own in front of every sequence.
    """
    name = type(forward.model).__name__
    if forward.family == "masked":
        raise BackboneError(
            f"{name} is a masked model, which fills positions and does not write text from left to right; take a "
            "causal model such as SmolLM2, or a seq2seq model such as T5"
        )
    if forward.inputs.embeds_per_layer:
        raise BackboneError(
            f"{name} embeds each token once more for each layer, which `generate` of transformers cannot do for soft "
            "vectors; take another model, such as Gemma 3 270M"
        )
    if getattr(getattr(forward.model, "active_peft_config", None), "num_virtual_tokens", 0):
        raise BackboneError(
            f"{name} has an adapter of PEFT with virtual tokens, which cannot write after other soft vectors; load the "
            "model without it"
        )


def write(
    forward: ForwardPass,
    sequences: Sequence[Sequence[int]],
    config: "GenerationConfig",
    *,
    sources: Sequence[tuple[int, ...]] = (),
    soft: SoftInputs | None = None,
    prefix: PrefixCache | None = None,
    late_positions: Sequence[Sequence[int]] = (),
    **hooks: Any,  # noqa: ANN401 - what transformers calls while it writes
) -> list[list[int]]:
    """Write after some sequences in one batch; see `Backbone.write` for the arguments."""
    model = forward.model.get_base_model() if hasattr(forward.model, "get_base_model") else forward.model
    if forward.family == "seq2seq":
        (length,) = {len(sequence) for sequence in sequences}
        arguments = _seq2seq_arguments(forward, sequences, sources, soft, late_positions)
        with _without_defaults(model):
            written = model.generate(**arguments, generation_config=config, **hooks)[:, length:]
        return written.tolist()  # type: ignore[no-any-return]
    copies = config.num_beams or 1
    arguments, slots = _causal_arguments(forward, sequences, soft, prefix, late_positions, copies)
    # hooks count the calls of layers from the prefill on, so that nothing enters at a call after it
    with forward.entering(soft, slots), _without_defaults(model), _contiguous_head(model):
        return model.generate(**arguments, generation_config=config, **hooks).tolist()  # type: ignore[no-any-return]


def _seq2seq_arguments(
    forward: ForwardPass,
    openings: Sequence[Sequence[int]],
    sources: Sequence[tuple[int, ...]],
    soft: SoftInputs | None,
    late_positions: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Encode texts once; return their states, and the ids with which the decoder starts."""
    inputs, slots = forward.inputs.padded(sources, None, soft, None, late_positions)
    with forward.entering(soft, slots):
        encoded = forward.stack(**inputs)
    return {
        "encoder_outputs": type(encoded)(last_hidden_state=encoded.last_hidden_state),
        "attention_mask": inputs["attention_mask"],
        "decoder_input_ids": torch.tensor(openings, device=forward.device),
    }


def _causal_arguments(
    forward: ForwardPass,
    sequences: Sequence[Sequence[int]],
    soft: SoftInputs | None,
    prefix: PrefixCache | None,
    late_positions: Sequence[Sequence[int]],
    copies: int,
) -> tuple[dict[str, Any], Slots]:
    """Embeddings, padded on the left between the common prefix and the rest of each sequence, and their slots.

    Args:
        forward: the model.
        sequences: ids of each prompt.
        soft: the soft vectors.
        prefix: the one prefix that all of them start with.
        late_positions: as for `Backbone.outputs`.
        copies: how often `generate` repeats each sequence.
    """
    cached = prefix.padded_length if prefix is not None else 0
    inputs, slots = forward.inputs.padded([ids[cached:] for ids in sequences], None, soft, None, late_positions)
    embedded, lengths = inputs["inputs_embeds"], inputs["attention_mask"].sum(1)
    longest = embedded.shape[1]
    padding = longest - lengths
    # from padding on the right to padding on the left
    source = torch.arange(longest, device=embedded.device) - padding[:, None]
    mask, source = (source >= 0).long(), source.clamp(min=0)
    embedded = embedded.gather(1, source[..., None].expand_as(embedded))
    if prefix is not None:
        # `generate` takes embeddings of the whole length, and leaves out those of the prefix
        embedded = torch.cat([embedded.new_zeros(len(embedded), cached, embedded.shape[2]), embedded], 1)
        mask = torch.cat([mask.new_ones(len(mask), cached), mask], 1)
    arguments: dict[str, Any] = {"inputs_embeds": embedded, "attention_mask": mask}
    if forward.inputs.accepts_positions:
        arguments["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0) + forward.inputs.first_position
    if prefix is not None:
        arguments["past_key_values"] = _copied(prefix, len(sequences) * copies, forward.device)
    return arguments, _moved(slots, padding, source, longest, copies)


def _moved(slots: Slots, padding: Tensor, source: Tensor, longest: int, copies: int) -> Slots:
    """The slots of sequences that are padded on the left instead, each sequence repeated."""
    sequence, column = slots.positions // longest, slots.positions % longest
    rows = sequence[:, None] * copies + torch.arange(copies, device=sequence.device)
    positions = rows * longest + (column + padding[sequence])[:, None]
    fields = slots.fields
    if fields is not None:
        fields = fields.gather(1, source).masked_fill(
            torch.arange(longest, device=source.device) < padding[:, None], 0.0
        )
        fields = fields.repeat_interleave(copies, 0)
    return Slots(positions.flatten(), slots.rows.repeat_interleave(copies), fields=fields)


def _copied(prefix: PrefixCache, count: int, device: torch.device) -> "Cache":
    """A cache of transformers that starts with copies of the one prefix, for `generate` changes it in place."""
    from softcloze.backbone.attention import PrefixKVCache

    # no configuration, as in `PrefixCache.cache`
    cache = PrefixKVCache()
    for index, (keys, values) in enumerate(prefix.layers):
        cache.update(*(tensor.to(device).expand(count, -1, -1, -1) for tensor in (keys, values)), index)
    return cache


@contextmanager
def _contiguous_head(model: "PreTrainedModel") -> Iterator[None]:
    """Copy the states that the output embedding takes, of which `generate` gives a view of the last position.

    On a CPU torch multiplies a view in half precision row by row: in SmolLM2 for 20 rows in seconds instead of
    hundredths of one.
    """
    embedding = model.get_output_embeddings()
    hook = embedding.register_forward_pre_hook(lambda _, states: tuple(state.contiguous() for state in states))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _without_defaults(model: "PreTrainedModel") -> Iterator[None]:
    """Hide the generation configuration of a model, which fills in whatever another one leaves at None."""
    from transformers import GenerationConfig

    before = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = before
