"""Keys and values that the slots in front of a causal prompt have at each layer in place of vectors."""

import torch
from torch import Tensor

from softcloze.backbone import Backbone, PrefixCache
from softcloze.errors import ArtifactError
from softcloze.prompt.tensors import Shape

PREFIX = "prefix/"  # tensors of keys and values, by the key of their block


def prefix_shape(count: int) -> Shape:
    """The shape of keys and values, in this order, of `count` slots at each layer.

    >>> prefix_shape(20)
    ('layers', 2, 20, 'heads', 'head width')
    """
    return "layers", 2, count, "heads", "head width"


def prefix_cache(prefix: Tensor, backbone: Backbone) -> PrefixCache:
    """Keys and values of slots as a prefix of a sequence, in the precision and on the device of the model."""
    # to shape (layers, 2, prefixes, heads, count, head width)
    heads_first = prefix.to(backbone.device, backbone.model.dtype).transpose(2, 3)[:, :, None].contiguous()
    return PrefixCache(tuple((keys, values) for keys, values in heads_first), torch.tensor([prefix.shape[2]]))


def validate_prefix(prefix: Tensor, backbone: Backbone) -> None:
    """Raise ArtifactError if a model does not continue from keys and values of such a shape."""
    if not backbone.supports_prefix_cache:
        raise ArtifactError(
            f"this prompt is a prefix of keys and values, and {backbone.name} does not continue from them: "
            f"{backbone.prefix_cache_reason}"
        )
    layers, _, _, heads, width = prefix.shape
    with backbone.frozen():
        expected = [tensor.shape for layer in backbone.prefill([[0]]).layers for tensor in layer]
    if expected != [(1, heads, 1, width)] * (2 * layers):
        layout = f"{len(expected) // 2} layers with {expected[0][1]} heads of width {expected[0][3]}"
        if len(set(expected)) > 1:
            layout = "layers whose keys have different shapes"
        raise ArtifactError(
            f"this prompt has keys and values for {layers} layers with {heads} heads of width {width}, and "
            f"{backbone.name} has {layout}; load it with the model that it was trained on"
        )


def starts_with(prefix: Tensor, ids: list[int], backbone: Backbone) -> bool:
    """Return True if the first keys are those that the model computes for these tokens in front of all."""
    if not ids or prefix.shape[2] < len(ids):
        return False
    with backbone.frozen():
        computed = backbone.prefill([ids])
    given = prefix_cache(prefix[:, :, : len(ids)], backbone)
    return all(
        torch.allclose(a.float(), b.float(), rtol=1e-2, atol=1e-3)
        for ours, theirs in zip(computed.layers, given.layers, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
