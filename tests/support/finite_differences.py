"""Gradients against finite differences of the loss."""

import torch


def assert_gradients(loss, weights, *, constants=False):
    """Assert that the gradient of each weight is the slope of the loss along a direction of its own.

    Args:
        loss: computes the loss, whose gradients the weights have.
        weights: the weights; they are given back as they were, up to rounding.
        constants: whether entries without gradient count as constants, though the loss depends on them.
    """
    generator = torch.Generator().manual_seed(5)
    for weight in weights:
        # mostly along the gradient, where the difference is far above the rounding of float32
        direction = weight.grad / weight.grad.norm()
        noise = torch.randn(weight.shape, generator=generator) * direction.abs().mean()
        direction = direction + (noise * (direction != 0) if constants else noise)
        step = 1e-3 * weight.norm() / direction.norm() * direction
        with torch.no_grad():
            weight += step
            above = loss()
            weight -= 2 * step
            below = loss()
            weight += step
        torch.testing.assert_close((above - below) / 2, (weight.grad * step).sum(), atol=0, rtol=0.02)
