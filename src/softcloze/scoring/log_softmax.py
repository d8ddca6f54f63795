"""Log-softmax over the vocabulary at a few tokens."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PART_NUMBERS = 1 << 20  # logits that are converted and exponentiated at once, so that they stay in a processor's cache


def gather_log_softmax(logits: Tensor, index: Tensor, token: Tensor) -> Tensor:
    """Log-softmax of some tokens, without the tensors of vocabulary size that a general one keeps for its gradient.

    Args:
        logits: shape (positions, vocab), in any precision.
        index: positions, shape (reads,).
        token: the token at each of them, shape (reads,).

    Returns:
        Nats in float32, shape (reads,).

    >>> logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    >>> gather_log_softmax(logits, torch.tensor([1, 0, 0]), torch.tensor([0, 1, 2]))
    tensor([-0.0949, -1.4076, -0.4076])
    """
    values: Tensor = _GatherLogSoftmax.apply(logits, index, token)  # type: ignore[no-untyped-call]
    return values


class _GatherLogSoftmax(torch.autograd.Function):
    """In single precision, a few positions at a time."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch does not document its type
        logits: Tensor,
        index: Tensor,
        token: Tensor,
    ) -> Tensor:
        normaliser = torch.cat([part.float().logsumexp(-1) for part in _parts(logits)])
        ctx.save_for_backward(logits, normaliser, index, token)
        return logits[index, token].float() - normaliser[index]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        logits, normaliser, index, token = ctx.saved_tensors
        sums = gradient.new_zeros(len(logits)).index_add(0, index, gradient)
        logits_grad = torch.empty_like(logits)
        start = 0
        for part in _parts(logits):
            rows = slice(start, start + len(part))
            logits_grad[rows] = (part.float() - normaliser[rows, None]).exp_().mul_(-sums[rows, None])
            start += len(part)
        logits_grad.index_put_((index, token), gradient.to(logits.dtype), accumulate=True)
        return logits_grad, None, None


def _parts(logits: Tensor) -> tuple[Tensor, ...]:
    parts: tuple[Tensor, ...] = logits.split(max(1, PART_NUMBERS // logits.shape[-1]))
    return parts
