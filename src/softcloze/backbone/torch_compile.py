"""Compile a model's layers with torch, for scoring.

Each layer is compiled in parts around its attention and its cache, which stay as they are, for any numbers of sequences
and tokens above one. Compiling again for single ones does not pay, and compiled training is slower
(docs/explanation/engine.md): there layers run as they are written.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from softcloze.errors import BackboneError

# versions of each part in a process: with and without a mask, for each kind of layer and precision; beyond this number
# the part runs as it is written
MAX_VERSIONS = 32


def compile_layers(model: PreTrainedModel, without: Collection[nn.Module | None]) -> list[nn.Module]:
    """Have torch compile the layers of a model in place, when each of them first runs.

    Args:
        model: a model of any family.
        without: modules whose hooks change, which torch would not notice; their layers are not compiled.

    Returns:
        The layers that are compiled.

    Raises:
        BackboneError: the model marks no layers.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise BackboneError(f"{type(model).__name__} has no layers that can be compiled; leave compile=True out")
    layers = [layer for layer in layers if not any(module in without for module in layer.modules())]
    for layer in layers:
        layer.compile(dynamic=True)
        # the attribute that torch uses: a copy of the layer does not have it
        layer._compiled_call_impl = _compiled_for_batches(layer, layer._compiled_call_impl)
    return layers


def _compiled_for_batches(layer: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Call a layer compiled in inference mode with several sequences of several tokens, else as it is written.

    Also as it is written while soft vectors enter in front of it, by a hook that torch would not notice.
    """

    def call(states: Tensor, *args: object, **kwargs: object) -> object:
        if layer._forward_pre_hooks or not torch.is_inference_mode_enabled() or min(states.shape[:2]) == 1:
            return layer._call_impl(states, *args, **kwargs)
        # each layer knows its index, and would be compiled for it alone
        with torch._dynamo.config.patch(allow_unspec_int_on_nn_module=True, recompile_limit=MAX_VERSIONS):
            return compiled(states, *args, **kwargs)

    return call
