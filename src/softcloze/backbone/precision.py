"""Scores that are not finite: the weight or the precision that causes them, and the way out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softcloze.backbone.quantisation import dense

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def non_finite_tensors(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors that hold NaN or an infinity; numbers of 8 bits and tensors without storage are left out.

    >>> non_finite_tensors({"weight": torch.ones(2), "bias": torch.tensor([0.0, torch.inf])})
    ['bias']
    """
    with torch.no_grad():
        # a sum takes a fraction of the time of a test of each number, but may overflow where no number does
        known = {name: tensor for name, tensor in tensors.items() if tensor.itemsize > 1 and not tensor.is_meta}
        suspect = [name for name, tensor in known.items() if not dense(tensor).sum(dtype=torch.float32).isfinite()]
        return [name for name in suspect if not dense(known[name]).isfinite().all()]


def non_finite_reason(model: "PreTrainedModel", vectors: Mapping[str, Tensor] | None = None) -> str:
    """Explain why a model computes scores that are not finite, and what helps.

    Args:
        model: the model.
        vectors: other tensors that take part, such as soft vectors, by a name for the message.
    """
    if names := non_finite_tensors(vectors or {}):
        return f"there are NaN or infinite numbers in {names[0]}; fit again"
    if names := non_finite_tensors(dict(model.named_parameters())):
        return f"there are NaN or infinite numbers in its weight {names[0]!r}; load another copy of the model"
    dtype = str(model.dtype).removeprefix("torch.")
    if model.dtype == torch.float16:
        largest = f"{torch.finfo(torch.float16).max:.0f}"
        return f'{dtype} ends at {largest}, and the model exceeds it; load it with dtype="bfloat16" or "float32"'
    if model.dtype != torch.float32:
        return f'it runs in {dtype}; load it with dtype="float32"'
    return f"it runs in {dtype} and its weights are finite; another model, or another text, may help"
