"""What tests with several threads need: frequent switches, and the state of a borrowed model."""

import sys
from contextlib import contextmanager

import torch

THREADS = 8


@contextmanager
def frequent_switches():
    """Let threads take turns fifty times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def flags(model):
    """Everything that a call may change in a borrowed model."""
    return (
        [parameter.requires_grad for parameter in model.parameters()],
        [module.training for module in model.modules()],
        [(len(module._forward_pre_hooks), len(module._forward_hooks)) for module in model.modules()],
        model.config._attn_implementation,
        torch.is_grad_enabled(),
    )
