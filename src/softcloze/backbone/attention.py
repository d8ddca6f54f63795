"""Attention instead of transformers' "sdpa" on CPUs: grouped queries, and cached keys and values as constants.

It avoids four costs of transformers' own, measured in docs/measurements/engine.md. With a mask, keys and values are
repeated for each query head that shares them. Cached and new ones are joined by copying both. The backward pass
computes gradients for all of them, and in half precision without the CPU's matrix products. And keys that do not fill a
register are computed number by number.
"""

import inspect
import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

CUSTOM_ATTENTION = "softcloze"  # its name in a model's configuration
# keys up to which, in half precision, attention weights are kept for the backward pass instead of computed again by the
# kernel, and up to which the kernel gains nothing by skipping hidden keys: docs/measurements/engine.md
MAX_SHORT_KEYS = 256
# numbers in single precision in a CPU register, in which the softmax over keys is computed
REGISTER_WIDTH = 16
# arguments of some models' attention besides keys, values and a mask
_UNUSUAL = ("softcap", "s_aux", "position_bias", "cache")


def use_custom_attention(model: PreTrainedModel) -> bool:
    """Return True if `model` runs "sdpa" and nothing else in it depends on that name."""
    config = model.config
    # measured on CPUs only; a composite configuration does not say what its parts run
    on_cpu = model.device.type == "cpu" and not config.sub_configs
    return on_cpu and config._attn_implementation == "sdpa" and _goes_by_name(type(model).__module__)


@cache
def _goes_by_name(module: str) -> bool:
    """Return True if a model's module looks up its attention by name, and does not compare that name with "sdpa"."""
    try:
        code = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):  # defined in an interpreter
        return False
    return "ALL_ATTENTION_FUNCTIONS" in code and '"sdpa"' not in code


class PrefixKVLayer(DynamicLayer):
    """A layer of transformers' cache that starts with cached keys and values and has free positions after them.

    The tensors that `update` returns carry the new keys and values as `added`. Our attention treats all others as
    constants; any other attention ignores the attribute.
    """

    def __init__(self, keys: Tensor, values: Tensor, capacity: int):
        """Take tensors of which the last `capacity` positions are free.

        Args:
            keys: shape (batch, heads, length, head width).
            values: of the same shape.
            capacity: the number of new positions.
        """
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._whole = keys, values
        self.keys, self.values = (whole[:, :, : keys.shape[2] - capacity] for whole in self._whole)

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Fill the free positions; return all keys and values, shape (batch, heads, length, head width)."""
        cached = self.keys.shape[2]
        for whole, added in zip(self._whole, (key_states, value_states), strict=True):
            whole[:, :, cached:] = added
            whole.added = added  # type: ignore[attr-defined]
        self.keys, self.values = self._whole
        return self._whole


class PrefixKVCache(DynamicCache):
    """A cache of transformers outside compiled layers, which would be compiled again for each layer's index."""

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, as transformers returns them."""
        updated: tuple[Tensor, Tensor] = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        return updated


@torch.compiler.disable  # type: ignore[untyped-decorator] # it chooses and calls a kernel
def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,  # noqa: ANN401 - each model has its own
) -> tuple[Tensor, None]:
    """Replace transformers' `sdpa_attention_forward`; call it for long sequences without a mask and unusual arguments.

    Args:
        module: the layer's attention.
        query: shape (batch, query heads, queries, width).
        key: shape (batch, heads, keys, width).
        value: shape (batch, heads, keys, value width).
        attention_mask: True where a query sees a key, or numbers to add; shape (batch or 1, query heads or 1, queries,
            keys).
        dropout: share of the attention weights that are dropped.
        scaling: factor for products of queries and keys; one over the root of the width if None.
        kwargs: other arguments of the model.

    Returns:
        Shape (batch, queries, query heads, value width), and no attention weights.
    """
    if not dropout and all(kwargs.get(name) is None for name in _UNUSUAL):
        added = getattr(key, "added", None), getattr(value, "added", None)
        cached = None not in added
        trained = torch.is_grad_enabled() and query.requires_grad
        one_mask = attention_mask is None or attention_mask.shape[1] == 1
        count = key.shape[2]
        short = count <= MAX_SHORT_KEYS and query.element_size() == 2
        causal = attention_mask is None and _is_causal(module, **kwargs)
        by_products = trained and one_mask and (cached or short)
        result: Tensor
        if causal and (by_products or short):
            ones = torch.ones(query.shape[2], count, dtype=torch.bool, device=query.device)
            attention_mask, causal = ones.tril(count - query.shape[2])[None, None], False
        if by_products:
            new = added if cached else (key, value)
            scale = scaling if scaling is not None else query.shape[-1] ** -0.5
            constants = pad_to_register(key.detach(), value.detach(), attention_mask)
            result = _MatrixProductAttention.apply(query, *new, *constants, scale, count)  # type: ignore[no-untyped-call]
            return result.transpose(1, 2).contiguous(), None
        if not causal:
            groups = query.shape[1] != key.shape[1]
            inputs = query, *pad_to_register(key, value, attention_mask)
            result = scaled_dot_product_attention(*inputs, scale=scaling, enable_gqa=groups)
            return result.transpose(1, 2).contiguous(), None
    usual: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout, scaling, **kwargs
    )
    return usual


def _is_causal(module: nn.Module, *, is_causal: bool | None = None, **_: object) -> bool:
    """Return True if a query without a mask sees no later keys."""
    return bool(is_causal if is_causal is not None else getattr(module, "is_causal", True))


def pad_to_register(key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Pad keys, values and mask with hidden positions, until keys in half precision fill CPU registers.

    In single precision the copies cost what that saves.

    Args:
        key: shape (batch, heads, keys, width).
        value: shape (batch, heads, keys, value width).
        mask: as for `attention`.

    >>> ones = torch.ones(1, 1, 15, 2, dtype=torch.bfloat16)
    >>> key, value, mask = pad_to_register(ones, ones, None)
    >>> key.shape[2], value.shape[2], mask.int().tolist()
    (16, 16, [[[[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]]]])
    """
    spare = -key.shape[2] % REGISTER_WIDTH
    if not spare or key.element_size() > 2:
        return key, value, mask
    if mask is None:
        mask = torch.ones(1, 1, 1, key.shape[2], dtype=torch.bool, device=key.device)
    hidden = 0.0 if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    return pad(key, (0, 0, 0, spare)), pad(value, (0, 0, 0, spare)), pad(mask, (0, spare), value=hidden)


class _MatrixProductAttention(torch.autograd.Function):
    """Attention by matrix products, without gradients for cached keys and values.

    Faster than the kernel in forward and backward pass together: docs/measurements/engine.md.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch does not document its type
        query: Tensor,
        new_key: Tensor,
        new_value: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
        count: int,
    ) -> Tensor:
        """Take padded keys and values, `count` of them real, of which the new ones are the last."""
        # the heads of a group are treated as more queries
        folded = (query * scaling).reshape(*key.shape[:2], -1, key.shape[3])
        scores = (folded @ key.transpose(-1, -2)).view(*key.shape[:2], -1, query.shape[2], key.shape[2])
        if mask is not None:
            if mask.dtype == torch.bool:
                scores.masked_fill_(~mask[:, :, None], torch.finfo(scores.dtype).min)
            else:
                scores += mask[:, :, None]
        weights = scores.softmax(-1).view(*folded.shape[:3], -1)  # in float32 inside, whatever the precision
        result = weights @ value
        ctx.save_for_backward(folded, key, value, weights, result)
        ctx.new, ctx.scaling = slice(count - new_key.shape[2], count), scaling
        return result.view(*query.shape[:3], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        folded, key, value, weights, result = ctx.saved_tensors
        result_grad = gradient.reshape(result.shape)
        new_value_grad = weights[..., ctx.new].transpose(-1, -2) @ result_grad
        # backward pass of the softmax: the sum that it subtracts is the same over keys and over the result
        score_grad = result_grad @ value.transpose(-1, -2)
        score_grad.sub_((result_grad * result).sum(-1, keepdim=True)).mul_(weights)
        new_key_grad = score_grad[..., ctx.new].transpose(-1, -2) @ folded
        query_grad = (score_grad @ key).mul_(ctx.scaling).view(*gradient.shape[:3], -1)
        return query_grad, new_key_grad, new_value_grad, None, None, None, None, None


AttentionInterface.register(CUSTOM_ATTENTION, attention)

AttentionMaskInterface.register(CUSTOM_ATTENTION, sdpa_mask)
