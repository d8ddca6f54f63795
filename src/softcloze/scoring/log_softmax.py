"""Log-softmax over the vocabulary at a few tokens."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def gather_log_softmax(logits: Tensor, index: Tensor, token: Tensor) -> Tensor:
    """Log-softmax of some tokens, without the tensors of vocabulary size that a general one keeps for its gradient.

    Args:
        logits: shape (positions, vocab).
        index: positions, shape (reads,).
        token: the token at each of them, shape (reads,).

    Returns:
        Nats, shape (reads,).

    >>> logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    >>> gather_log_softmax(logits, torch.tensor([1, 0, 0]), torch.tensor([0, 1, 2]))
    tensor([-0.0949, -1.4076, -0.4076])
    """
    values: Tensor = _GatherLogSoftmax.apply(logits, index, token)  # type: ignore[no-untyped-call]
    return values


class _GatherLogSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch does not document its type
        logits: Tensor,
        index: Tensor,
        token: Tensor,
    ) -> Tensor:
        normaliser = logits.logsumexp(-1)
        ctx.save_for_backward(logits, normaliser, index, token)
        return logits[index, token] - normaliser[index]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        logits, normaliser, index, token = ctx.saved_tensors
        sums = gradient.new_zeros(len(logits)).index_add(0, index, gradient)
        logits_grad = (logits - normaliser[:, None]).exp_().mul_(-sums[:, None])
        return logits_grad.index_put_((index, token), gradient, accumulate=True), None, None
