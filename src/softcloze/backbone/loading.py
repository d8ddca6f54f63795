"""Load a backbone by name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.family import AUTO, Family, family_of, longest_prompt
from softcloze.encoding import PretrainedTokenizer
from softcloze.errors import BackboneError
from softcloze.starters import fetch_model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

STARTER = "starter:"
_LOADING = RLock()


def load_backbone(
    model: str | Backbone, *, dtype: str = "auto", device: str = "auto", compile: bool = False
) -> Backbone:
    """Load the backbone named `model`; loaded twice, it is shared.

    Args:
        model: "starter:NAME", a model name on a hub, a folder, a .gguf file, or a Backbone, which is returned as it is.
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 where the device multiplies it in hardware,
            float32 otherwise.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": an accelerator if one is available.
        compile: compile the layers for scoring, in place: see `Backbone.compile` and docs/explanation/engine.md.

    Raises:
        BackboneError: the model cannot be loaded or compiled, or `dtype` or `device` is unknown.
        StarterError: a starter cannot be fetched.
    """
    if not isinstance(model, Backbone):
        where = _device(device)
        with _LOADING:  # threads share what the first of them loads
            model = _load(model, _dtype(dtype, where), where)
    if compile:
        model.compile()
    return model


def load_tokenizer(model: str) -> tuple[PretrainedTokenizer, Family, int]:
    """Load the tokenizer of a model named as for `load_backbone`, without the model's weights.

    Returns:
        The tokenizer, the model's family and the number of tokens that it accepts.

    Raises:
        BackboneError: the tokenizer or the configuration cannot be loaded.
        StarterError: a starter cannot be fetched.
    """
    location, options = _location(model)
    with _errors_explained(model):
        config, tokenizer, family = _read_configuration(location, options)
    return tokenizer, family, longest_prompt(config, tokenizer)


# two, for comparing one model with another; a model can be hundreds of megabytes
@lru_cache(maxsize=2)
def _load(name: str, dtype: torch.dtype, device: torch.device) -> Backbone:
    import transformers

    location, options = _location(name)
    with _errors_explained(name):
        _, tokenizer, family = _read_configuration(location, options)
        model = getattr(transformers, AUTO[family]).from_pretrained(location, dtype=dtype, **options)
    return Backbone(model.to(device), tokenizer, name)


def _location(name: str) -> tuple[str | Path, dict[str, str]]:
    """The location and the options with which transformers loads a model of this name."""
    if name.startswith(STARTER):
        return fetch_model(name.removeprefix(STARTER)), {}
    if name.endswith(".gguf"):
        file = Path(name).expanduser()
        return file.parent, {"gguf_file": file.name}
    return name, {}


def _read_configuration(
    location: str | Path, options: Mapping[str, str]
) -> "tuple[PreTrainedConfig, PretrainedTokenizer, Family]":
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(location, **options)
    tokenizer = AutoTokenizer.from_pretrained(location, **options)
    return config, tokenizer, family_of(config, tokenizer)


@contextmanager
def _errors_explained(name: str) -> Iterator[None]:
    """Raise BackboneError with the model's name for the errors of transformers."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        raise BackboneError(
            f"cannot load the model {name!r}: {error}\n"
            "expected a model name of a hub, a folder in transformers format, a .gguf file, or starter:NAME "
            "(softcloze models lists those)"
        ) from error


def _device(name: str) -> torch.device:
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackboneError(f'device={name!r} is unknown; expected "auto", "cpu", "cuda" or "mps"') from error
    try:
        torch.empty(0, device=device)
    # backends that this build of torch lacks raise different errors
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise BackboneError(f'device {name!r} is not available: {error}; use "auto" to select one') from error
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name == "auto":
        if device.type == "cuda":
            hardware = torch.cuda.is_bf16_supported()
        else:
            hardware = device.type == "cpu" and torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if hardware else torch.float32
    if name not in dtypes:
        raise BackboneError(f"dtype={name!r} is unknown; expected auto, {', '.join(dtypes)}")
    return dtypes[name]
