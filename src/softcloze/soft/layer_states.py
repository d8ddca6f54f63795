"""The hidden states of training examples in front of each layer: their scale, and their means at soft slots."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from softcloze.backbone import Backbone, SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.field_vectors import with_field_vectors
from softcloze.scoring.seq2seq import Infilling

SAMPLE = 32  # examples whose hidden states are computed


def layer_rms(backbone: Backbone, prompts: Sequence[EncodedPrompt], soft: SoftInputs) -> Tensor:
    """The scale of hidden states in front of each layer, shape (layers,): the unit of learning rates there.

    The median over tokens of the root mean square of a token's state. A mean would be that of one token: the first one
    of a causal model has states up to a thousand times as long as the others.
    """
    of_tokens = [states.square().mean(-1).sqrt() for _, states in _states(backbone, prompts, soft)]
    return torch.cat(of_tokens, dim=1).median(-1).values


def mean_slot_states(backbone: Backbone, prompts: Sequence[EncodedPrompt], soft: SoftInputs) -> Tensor:
    """Mean hidden states of each soft slot in front of each layer, shape (layers, soft, layer width).

    They are zero for a slot that no example has.
    """
    sums = torch.zeros(backbone.layers.count, len(soft), backbone.layers.width)
    counts = torch.zeros(len(soft))
    for ids, states in _states(backbone, prompts, soft):
        positions = [position for position, token in enumerate(ids) if token < 0]
        rows = torch.tensor([-1 - ids[position] for position in positions], dtype=torch.long)
        sums.index_add_(1, rows, states[:, positions])
        counts.index_add_(0, rows, torch.ones(len(rows)))
    return sums / counts.clamp(min=1)[:, None]


def _states(
    backbone: Backbone, prompts: Sequence[EncodedPrompt], soft: SoftInputs
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """The ids of some examples, spread over all of them, and their hidden states, shape (layers, ids, layer width)."""
    step = max(1, len(prompts) // SAMPLE)
    with backbone.frozen(), torch.no_grad():
        chosen, inputs = with_field_vectors(backbone, prompts[::step][:SAMPLE], soft)
        for prompt in chosen:
            ids = _ids(backbone, prompt)
            yield ids, backbone.layer_states(ids, inputs)


def _ids(backbone: Backbone, prompt: EncodedPrompt) -> tuple[int, ...]:
    """The ids of a prompt with a mask token at each mask; of a causal model without the words there."""
    tokenizer, start = backbone.prompt_tokenizer, backbone.decoder_start
    if start is not None:
        return Infilling.of(prompt, tokenizer, start).source
    mask = (tokenizer.mask_id,) if tokenizer.mask_id is not None else ()
    first, *others = prompt.chunks
    return (*first, *(i for chunk in others for i in (*mask, *chunk)))
