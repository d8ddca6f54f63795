"""Models with weights of 8 or 4 bits: how they are loaded, and what their layers need for right scores and gradients.

torchao keeps the weights of linear layers as 8-bit integers with a scale for each row, and converts them to the
precision of the activations for each product: ordinary operations with exact gradients. bitsandbytes keeps them in the
4 bits of NF4 (Dettmers et al., NeurIPS 2023, arXiv:2305.14314) and converts them as well. On processors with
AVX512-BF16 it would rearrange them at the first forward pass without gradient: from then on they score otherwise, and
gradients pass through residual connections alone. Here they stay as they are.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from softcloze.errors import BackboneError, ParameterError

Quantize = Literal["int8", "nf4"]
QUANTIZATIONS: tuple[Quantize, ...] = ("int8", "nf4")
NONE = "none"  # of a model whose weights are floating-point numbers
_OF_BITSANDBYTES = ("nf4", "fp4")


def loading_options(quantize: Quantize, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained` for weights of 8 or 4 bits.

    Args:
        quantize: "int8" (torchao) or "nf4" (bitsandbytes).
        dtype: precision of the activations.
        device: the device.

    Raises:
        ParameterError: the library is not installed.
    """
    from transformers import BitsAndBytesConfig, TorchAoConfig

    try:
        if quantize == "int8":
            from torchao.quantization import Int8WeightOnlyConfig

            return {"quantization_config": TorchAoConfig(Int8WeightOnlyConfig())}
        import accelerate  # noqa: F401 - transformers needs it as well
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ParameterError(
            f"quantize={quantize!r} needs a library that is missing: pip install 'softcloze[{quantize}]' ({error})"
        ) from error
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": config, "device_map": {"": device}}


def quantisation_of(model: nn.Module) -> str:
    """The form of a model's weights, such as "int8" or "nf4"; "none" for floating-point numbers."""
    return " and ".join(sorted({_form(weight) for weight in model.parameters()} - {NONE})) or NONE


def keep_unpacked(model: nn.Module) -> None:
    """Have layers of 4 bits keep their weights as they are; raise for layers that score or learn otherwise.

    Raises:
        BackboneError: a layer has rearranged its weights already, or its scores depend on the rest of a batch.
    """
    for name, module in model.named_modules():
        if type(module).__name__ == "Linear8bitLt":
            raise BackboneError(
                f"{name!r} is an 8-bit layer of bitsandbytes, whose scores for a sequence depend on the rest of its "
                'batch; load the model by its name with quantize="int8", which torchao computes'
            )
        if hasattr(module, "support_avx512bf16_for_cpu"):
            if getattr(getattr(module.weight, "quant_state", None), "packing_format_for_cpu", False):
                raise BackboneError(
                    f"a forward pass rearranged the 4-bit weights of {name!r} for this processor, after which "
                    "gradients are wrong; give softcloze the model before its first use, or its name with "
                    'quantize="nf4"'
                )
            module.support_avx512bf16_for_cpu = False


def dense(weight: Tensor) -> Tensor:
    """A weight as numbers that torch computes with: those of torchao are converted, others stay."""
    return weight.dequantize() if type(weight).__module__.startswith("torchao.") else weight


def stored(weight: Tensor) -> Iterator[Tensor]:
    """The tensors that a weight is kept in: of 4 bits its bytes and their scales."""
    yield dense(weight.detach())
    state = getattr(weight, "quant_state", None)
    if state is not None:
        yield state.absmax


def shape_of(weight: Tensor) -> torch.Size:
    """The shape of a weight; one of 4 bits is kept as a column of bytes."""
    state = getattr(weight, "quant_state", None)
    return torch.Size(state.shape) if state is not None else weight.shape


def _form(weight: Tensor) -> str:
    """The form of one weight."""
    if type(weight).__module__.startswith("torchao."):
        name = {"Int8Tensor": "int8"}.get(type(weight).__name__, type(weight).__name__)
        return name if getattr(weight, "act_quant_kwargs", None) is None else f"{name} with quantised activations"
    form = str(getattr(weight, "quant_type", "")) if hasattr(weight, "quant_state") else ""
    return form if form in _OF_BITSANDBYTES else NONE
