"""A model's layers compiled by torch: what stands between their products of matrices becomes a loop or two.

Each layer is compiled in parts around its attention and its cache, which stay as they are, for any number of rows and
tokens. Training runs layers as they are written: what torch makes of the way back was slower.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from softcloze.backbone.errors import BackboneError

# of each part: for one row and for several, with a mask and without, for each kind of layer and precision; torch's own
# limit is for all models of a process that are of one architecture, and beyond it the part runs as it is written
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
    return layers


def undo(layers: Sequence[nn.Module]) -> None:
    """Have layers run as they are written again."""
    for layer in layers:
        layer._compiled_call_impl = None


@contextmanager
def as_compiled() -> Iterator[None]:
    """Let layers that are compiled run so, where `as_written` is around."""
    # each layer knows its number, and would be compiled for it alone
    settings = torch._dynamo.config.patch(allow_unspec_int_on_nn_module=True, recompile_limit=VERSIONS)
    with torch.compiler.set_stance("default"), settings:
        yield


def as_written() -> AbstractContextManager[None]:
    """Let layers that are compiled run as they are written."""
    stance: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
    return stance


__all__ = ["TorchDynamoException", "as_compiled", "as_written", "compile_layers", "undo"]
