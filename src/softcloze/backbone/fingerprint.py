"""Fingerprint of the weights of a model."""

from hashlib import sha256
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def weights_fingerprint(model: "PreTrainedModel") -> str:
    """SHA-256 of a sample of each weight, in bfloat16, in hexadecimal.

    The sample makes it cheap; bfloat16 makes it the same for a model loaded in either precision.
    """
    digest = sha256()
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten()
        sample = flat[:: max(1, len(flat) // 4096)].to(torch.bfloat16).cpu()
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
