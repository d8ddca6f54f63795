"""Give each prompt soft vectors of its own where they depend on a field of the example."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softcloze.backbone import Backbone, FieldNetwork, SoftInputs, mean_states_of_ids
from softcloze.encoding import EncodedPrompt


def with_field_vectors(
    backbone: Backbone, prompts: Sequence[EncodedPrompt], soft: SoftInputs | None
) -> tuple[Sequence[EncodedPrompt], SoftInputs | None]:
    """Compute the vectors that depend on a field, and give the slots of each prompt the ids of its own.

    Whatever compares prompts by their ids, such as prefix caches and packing, then shares nothing after the first such
    slot, except between prompts whose field has the same tokens.

    Args:
        backbone: the model.
        prompts: encoded prompts.
        soft: their soft vectors.

    Returns:
        The prompts, and soft vectors without networks; both unchanged where no vector depends on a field.
    """
    if soft is None or not soft.networks:
        return prompts, soft
    count = len(soft)
    vectors: list[Tensor] = []
    renamed: list[dict[int, int]] = [{} for _ in prompts]
    states = field_states(backbone, prompts, soft)
    for network in soft.networks:
        texts = dict.fromkeys(prompt.field_ids[network.field] for prompt in prompts)
        vectors.append(vectors_of_texts(backbone, network, soft.embeddings, [*texts], states).flatten(0, 1))
        first = {ids: count + i * len(network.rows) for i, ids in enumerate(texts)}
        for prompt, ids in zip(prompts, renamed, strict=True):
            start = first[prompt.field_ids[network.field]]
            ids.update((-1 - row, -1 - start - i) for i, row in enumerate(network.rows))
        count += len(texts) * len(network.rows)
    joined = SoftInputs.join([soft, SoftInputs(torch.cat(vectors))])
    return [_renamed(prompt, ids) for prompt, ids in zip(prompts, renamed, strict=True)], joined


def field_states(
    backbone: Backbone, prompts: Sequence[EncodedPrompt], soft: SoftInputs
) -> dict[tuple[int, ...], Tensor]:
    """The mean states that networks take of the fields of prompts, by token ids; those known to `soft` are kept."""
    fields = {network.field for network in soft.networks if network.by_states}
    texts = (prompt.field_ids[name] for prompt in prompts for name in fields)
    return {**soft.field_states, **states_of_texts(backbone, (ids for ids in texts if ids not in soft.field_states))}


def states_of_texts(backbone: Backbone, texts: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], Tensor]:
    """Mean last hidden states of texts alone, by token ids, without gradient; none of an empty text.

    They include those of the special tokens that the tokenizer adds: see `softcloze.backbone.mean_states_of_ids`.
    """
    distinct = [ids for ids in dict.fromkeys(texts) if ids]
    if not distinct:
        return {}
    sequences = [backbone.prompt_tokenizer.with_specials(ids) for ids in distinct]
    return dict(zip(distinct, mean_states_of_ids(backbone, sequences), strict=True))


def vectors_of_texts(
    backbone: Backbone,
    network: FieldNetwork,
    embeddings: Tensor,
    texts: Sequence[tuple[int, ...]],
    states: Mapping[tuple[int, ...], Tensor],
) -> Tensor:
    """The vectors of the block of a network for each text of its field, shape (texts, count, width).

    Args:
        backbone: the model.
        network: the network.
        embeddings: the input embeddings of all blocks, shape (soft, width).
        texts: token ids.
        states: from `field_states`.
    """
    base = embeddings[network.rows.start : network.rows.stop]
    if not texts:
        return base.expand(0, *base.shape)
    inputs = [_input(backbone, network, ids, states.get(ids)).to(base.device) for ids in texts]
    return network.vectors(base, torch.stack(inputs))


def _input(backbone: Backbone, network: FieldNetwork, ids: Sequence[int], states: Tensor | None) -> Tensor:
    """The input of a network for a field, shape (input width,): zeros for an empty one."""
    if not network.by_states:
        return mean_embedding(backbone, ids)
    return states if states is not None else torch.zeros(network.down.shape[1])


def mean_embedding(backbone: Backbone, ids: Sequence[int]) -> Tensor:
    """The mean input embedding of tokens in float32, shape (width,); zeros for none."""
    if not ids:
        return torch.zeros(backbone.width, device=backbone.device)
    return backbone.embed(torch.tensor(ids)).float().mean(0)


def _renamed(prompt: EncodedPrompt, ids: dict[int, int]) -> EncodedPrompt:
    """The prompt with other ids in its soft slots."""
    left, *between, right = (tuple(ids.get(i, i) for i in chunk) for chunk in prompt.chunks)
    return replace(prompt, left=left, right=right, between=tuple(between))
