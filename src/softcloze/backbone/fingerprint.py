"""Fingerprint of the weights of a model, and of the adapters that change it."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import torch

from softcloze.backbone.quantisation import stored

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def weights_fingerprint(model: "PreTrainedModel", *, without: str | None = None) -> str:
    """SHA-256 of a sample of each weight, in bfloat16, and of the active adapters, in hexadecimal.

    The sample makes it cheap; bfloat16 makes it the same for a model loaded in either precision.

    Args:
        model: the model.
        without: prefix of the names of weights that take no part; None for none.
    """
    digest = sha256(active_adapters(model).encode())
    for name, parameter in sorted(model.named_parameters()):
        if without is not None and name.startswith(without):
            continue
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        for tensor in stored(parameter):
            flat = tensor.flatten()
            sample = flat[:: max(1, len(flat) // 4096)].to(torch.bfloat16).cpu()
            digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def active_adapters(model: "PreTrainedModel") -> str:
    """Describe the adapters of PEFT in the layers of a model: the active ones and their scales; "" without any.

    A model with several adapters has the weights of all of them, and which of them take part is no weight.
    """
    layers = []
    for name, module in model.named_modules():
        if hasattr(module, "adapter_layer_names"):  # a layer of PEFT
            active = [] if module.disable_adapters else [*module.active_adapters]
            scales: Any = getattr(module, "scaling", {})
            layers.append((name, [(adapter, float(scales.get(adapter, 1))) for adapter in active]))
    return repr(layers) if layers else ""
