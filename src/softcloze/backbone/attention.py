"""Attention in the place of transformers' "sdpa": queries in groups, and what is kept of a text as constants.

Where several query heads share keys and values, transformers repeats these for each of them as soon as there is a mask;
it joins what is kept with what is new by copying both; and on the way back the kernel makes gradients for all of it.
Behind 514 kept places that was half of a training step. In half precision the kernel's way back does not use the
processor's products of matrices: it was a third to a half of a training step with texts of 28 tokens. And the shares of
keys that do not fill a register there are counted number by number: with 265 keys the kernel takes twice as long as
with 272.
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

OURS = "softcloze"  # the name under which a model finds it
# keys up to which, in half precision, shares of attention are kept for the way back, and not found anew by the kernel;
# and up to which the kernel gains nothing by leaving out what is hidden from a causal model
SHORT = 256
# numbers in single precision that a register of the processor takes, in which the softmax over keys is counted
REGISTER = 16
# what some models want of an attention beyond keys, values and a mask
_UNUSUAL = ("softcap", "s_aux", "position_bias", "cache")


def use_custom_attention(model: PreTrainedModel) -> bool:
    """Whether `model` runs "sdpa" now, and would do nothing else differently with ours in its place."""
    config = model.config
    # measured on processors alone; a config with others inside says nothing of what its parts run
    on_cpu = model.device.type == "cpu" and not config.sub_configs
    return on_cpu and config._attn_implementation == "sdpa" and _goes_by_name(type(model).__module__)


@cache
def _goes_by_name(module: str) -> bool:
    """Whether a model's module looks its attention up by name, and makes nothing depend on that name being "sdpa"."""
    try:
        code = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):  # made by hand, in an interpreter
        return False
    return "ALL_ATTENTION_FUNCTIONS" in code and '"sdpa"' not in code


class PrefixKVLayer(DynamicLayer):
    """A layer of transformers' cache that starts with what is kept, and has room behind it for what is new.

    New keys and values hang, as `added`, on those that `update` gives. This tells our attention that all before them
    are constants; any other attention takes no notice of it.
    """

    def __init__(self, keys: Tensor, values: Tensor, room: int):
        """Take tensors of which the last `room` places are free.

        Args:
            keys: shape (rows, heads, length, width of a head).
            values: likewise.
            room: how many places will be new.
        """
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._whole = keys, values
        self.keys, self.values = (whole[:, :, : keys.shape[2] - room] for whole in self._whole)

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Fill the room; all keys and all values, shapes (rows, heads, length, width of a head)."""
        kept = self.keys.shape[2]
        for whole, added in zip(self._whole, (key_states, value_states), strict=True):
            whole[:, :, kept:] = added
            whole.added = added  # type: ignore[attr-defined]
        self.keys, self.values = self._whole
        return self._whole


class PrefixKVCache(DynamicCache):
    """A cache of transformers that compiled layers leave to itself: by a layer's number it would be compiled anew."""

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """All keys and all values of a layer, as transformers gives them."""
        found: tuple[Tensor, Tensor] = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        return found


@torch.compiler.disable  # type: ignore[untyped-decorator] # a kernel for itself, and what chooses it
def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,  # noqa: ANN401 - what a model says besides
) -> tuple[Tensor, None]:
    """As transformers' `sdpa_attention_forward`, which does what is left to it: long rows without a mask, the unusual.

    Args:
        module: the layer's attention.
        query: shape (rows, query heads, queries, width).
        key: shape (rows, heads, keys, width).
        value: shape (rows, heads, keys, value width).
        attention_mask: True where a query sees a key, or numbers to add; shape (rows, 1, queries, keys), or one for
            each query head; 1 in the place of rows as well.
        dropout: share of the attention that is dropped.
        scaling: of the products of queries and keys; one over the root of the width if None.
        kwargs: what else the model says.

    Returns:
        Shape (rows, queries, query heads, value width), and no shares of attention.
    """
    if not dropout and all(kwargs.get(name) is None for name in _UNUSUAL):
        added = getattr(key, "added", None), getattr(value, "added", None)
        kept = None not in added
        trained = torch.is_grad_enabled() and query.requires_grad
        for_all_heads = attention_mask is None or attention_mask.shape[1] == 1
        count = key.shape[2]
        short = count <= SHORT and query.element_size() == 2
        causal = attention_mask is None and _is_causal(module, **kwargs)
        by_products = trained and for_all_heads and (kept or short)
        result: Tensor
        if causal and (by_products or short):
            ones = torch.ones(query.shape[2], count, dtype=torch.bool, device=query.device)
            attention_mask, causal = ones.tril(count - query.shape[2])[None, None], False
        if by_products:
            new = added if kept else (key, value)
            scale = scaling if scaling is not None else query.shape[-1] ** -0.5
            constants = in_whole_registers(key.detach(), value.detach(), attention_mask)
            result = _ByProducts.apply(query, *new, *constants, scale, count)  # type: ignore[no-untyped-call]
            return result.transpose(1, 2).contiguous(), None
        if not causal:
            groups = query.shape[1] != key.shape[1]
            inputs = query, *in_whole_registers(key, value, attention_mask)
            result = scaled_dot_product_attention(*inputs, scale=scaling, enable_gqa=groups)
            return result.transpose(1, 2).contiguous(), None
    theirs: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout, scaling, **kwargs
    )
    return theirs


def _is_causal(module: nn.Module, *, is_causal: bool | None = None, **_: object) -> bool:
    """Whether a query sees no keys behind it where no mask says what it sees."""
    return bool(is_causal if is_causal is not None else getattr(module, "is_causal", True))


def in_whole_registers(key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys, values and mask with hidden places behind them, until keys in half precision fill registers.

    In single precision what that spares is spent on the copies: BERT-tiny scored 6 % slower, SmolLM2 alike.

    Args:
        key: shape (rows, heads, keys, width).
        value: shape (rows, heads, keys, value width).
        mask: as for `attention`.

    >>> some = torch.ones(1, 1, 15, 2, dtype=torch.bfloat16)
    >>> key, value, mask = in_whole_registers(some, some, None)
    >>> key.shape[2], value.shape[2], mask.int().tolist()
    (16, 16, [[[[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]]]])
    """
    spare = -key.shape[2] % REGISTER
    if not spare or key.element_size() > 2:
        return key, value, mask
    if mask is None:
        mask = torch.ones(1, 1, 1, key.shape[2], dtype=torch.bool, device=key.device)
    hidden = 0.0 if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    return pad(key, (0, 0, 0, spare)), pad(value, (0, 0, 0, spare)), pad(mask, (0, spare), value=hidden)


class _ByProducts(torch.autograd.Function):
    """Attention by matrix products, without gradients for the keys and values that are kept.

    Forward and back on one core, float32, and by the kernel that takes queries in groups: 4 rows of 14 queries behind
    514 places, 9 heads in 3 groups, 4.1 and 6.8 ms; 8 rows behind 28 places 1.4 and 1.6; 4 rows of 100 queries behind
    428 places 23 and 35; 1 row of 250 queries behind 250 places 19 and 17. Forward alone the kernel is no slower.

    In bfloat16, on a processor that multiplies it, with nothing kept: 8 rows of 45 places 1.8 and 11.7 ms, 1 row of 130
    places 1.3 and 4.1, of 276 places 3.7 and 6.3, of 520 places 20 and 22. In float32 these are alike.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch does not say what it puts there
        query: Tensor,
        new_key: Tensor,
        new_value: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
        count: int,
    ) -> Tensor:
        """Take keys and values in whole registers, `count` of them real, of which the new ones are the last."""
        # the heads of a group as if they were more queries
        folded = (query * scaling).reshape(*key.shape[:2], -1, key.shape[3])
        scores = (folded @ key.transpose(-1, -2)).view(*key.shape[:2], -1, query.shape[2], key.shape[2])
        if mask is not None:
            if mask.dtype == torch.bool:
                scores.masked_fill_(~mask[:, :, None], torch.finfo(scores.dtype).min)
            else:
                scores += mask[:, :, None]
        shares = scores.softmax(-1).view(*folded.shape[:3], -1)  # in float32 inside, whatever the precision
        result = shares @ value
        ctx.save_for_backward(folded, key, value, shares, result)
        ctx.new, ctx.scaling = slice(count - new_key.shape[2], count), scaling
        return result.view(*query.shape[:3], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        folded, key, value, shares, result = ctx.saved_tensors
        ours = gradient.reshape(result.shape)
        for_new_value = shares[..., ctx.new].transpose(-1, -2) @ ours
        # back through the softmax: what it takes off each row is the same sum over keys or over the result
        for_scores = ours @ value.transpose(-1, -2)
        for_scores.sub_((ours * result).sum(-1, keepdim=True)).mul_(shares)
        for_new_key = for_scores[..., ctx.new].transpose(-1, -2) @ folded
        for_query = (for_scores @ key).mul_(ctx.scaling).view(*gradient.shape[:3], -1)
        return for_query, for_new_key, for_new_value, None, None, None, None, None


AttentionInterface.register(OURS, attention)

AttentionMaskInterface.register(OURS, sdpa_mask)
