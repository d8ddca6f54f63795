"""A model's layers compiled by torch: what stands between their products of matrices becomes a loop or two.

Each layer is compiled in parts around its attention and its cache, which stay as they are, for any numbers of rows and
tokens above one. What torch compiles anew for single ones would not be earned back, and what it makes of the way back
in training was slower: there layers run as they are written.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from softcloze.errors import BackboneError

# of each part, for all models of one architecture in a process: with and without a mask, for each kind of layer and
# precision; beyond them the part runs as it is written
VERSIONS = 32


def compile_layers(model: PreTrainedModel, without: nn.Module | None) -> list[nn.Module]:
    """Have torch compile the layers of a model, in place, the first time that each of them runs.

    Args:
        model: of any family.
        without: a module whose hooks change; the layer that it is in stays as it is, for torch would not notice.

    Raises:
        BackboneError: the model marks no layers as such.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise BackboneError(f"{type(model).__name__} has no layers that can be compiled; leave compile=True out")
    layers = [layer for layer in layers if without not in layer.modules()]
    for layer in layers:
        layer.compile(dynamic=True)
        # in the place where torch keeps it: a copy of the layer has none
        layer._compiled_call_impl = _where_it_gains(layer._compiled_call_impl, layer._call_impl)
    return layers


def undo(layers: Sequence[nn.Module]) -> None:
    """Have layers run as they are written again."""
    for layer in layers:
        layer._compiled_call_impl = None


def _where_it_gains(compiled: Callable[..., Any], as_written: Callable[..., Any]) -> Callable[..., Any]:
    """A layer that runs compiled in inference mode, with several rows of several tokens."""

    def call(states: Tensor, *args: object, **kwargs: object) -> object:
        if not torch.is_inference_mode_enabled() or min(states.shape[:2]) == 1:
            return as_written(states, *args, **kwargs)
        # each layer knows its number, and would be compiled for it alone
        with torch._dynamo.config.patch(allow_unspec_int_on_nn_module=True, recompile_limit=VERSIONS):
            return compiled(states, *args, **kwargs)

    return call
