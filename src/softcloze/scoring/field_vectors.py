"""Give each prompt soft vectors of its own where they depend on a field of the example."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softcloze.backbone import Backbone, SoftInputs
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
    for network in soft.networks:
        texts = dict.fromkeys(prompt.field_ids[network.field] for prompt in prompts)
        base = soft.embeddings[network.rows.start : network.rows.stop]
        means = torch.stack([mean_embedding(backbone, ids) for ids in texts]) if texts else base[:0]
        vectors.append(network.vectors(base, means.to(base.device)).flatten(0, 1))
        first = {ids: count + i * len(network.rows) for i, ids in enumerate(texts)}
        for prompt, ids in zip(prompts, renamed, strict=True):
            start = first[prompt.field_ids[network.field]]
            ids.update((-1 - row, -1 - start - i) for i, row in enumerate(network.rows))
        count += len(vectors[-1])
    joined = SoftInputs.join([soft, SoftInputs(torch.cat(vectors))])
    return [_renamed(prompt, ids) for prompt, ids in zip(prompts, renamed, strict=True)], joined


def mean_embedding(backbone: Backbone, ids: Sequence[int]) -> Tensor:
    """The mean input embedding of tokens in float32, shape (width,); zeros for none."""
    if not ids:
        return torch.zeros(backbone.width, device=backbone.device)
    return backbone.embed(torch.tensor(ids)).float().mean(0)


def _renamed(prompt: EncodedPrompt, ids: dict[int, int]) -> EncodedPrompt:
    """The prompt with other ids in its soft slots."""
    left, *between, right = (tuple(ids.get(i, i) for i in chunk) for chunk in prompt.chunks)
    return replace(prompt, left=left, right=right, between=tuple(between))
