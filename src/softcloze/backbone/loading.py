"""Finding and loading a backbone by name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
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


def load_backbone(
    model: str | Backbone, *, dtype: str = "auto", device: str = "auto", compile: bool = False
) -> Backbone:
    """The backbone that `model` names; asked for twice, the same one is shared.

    Args:
        model: "starter:NAME", a model name on a hub, a folder, a .gguf file, or a Backbone, which is returned as it is.
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 where the processor multiplies it in
            hardware, float32 otherwise.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": an accelerator if there is one.
        compile: have torch compile the layers for scoring, in place: see `Backbone.compile` and docs/engine.md.

    Raises:
        BackboneError: nothing loadable is there, `dtype` or `device` is unknown, or it cannot be compiled.
        StarterError: a starter cannot be fetched.
    """
    if not isinstance(model, Backbone):
        where = _device(device)
        model = _load(model, _dtype(dtype, where), where)
    if compile:
        model.compile()
    return model


def load_tokenizer(model: str) -> tuple[PretrainedTokenizer, Family, int]:
    """The tokenizer that `model` names, as for `load_backbone`, with its family and the tokens that the model takes.

    No weights are read.

    Raises:
        BackboneError: nothing loadable is there.
        StarterError: a starter cannot be fetched.
    """
    place, options = _place(model)
    with _explained(model):
        config, tokenizer, family = _read_configuration(place, options)
    return tokenizer, family, longest_prompt(config, tokenizer)


# two, for comparing one model with another; a model can be hundreds of megabytes
@lru_cache(maxsize=2)
def _load(name: str, dtype: torch.dtype, device: torch.device) -> Backbone:
    import transformers

    place, options = _place(name)
    with _explained(name):
        _, tokenizer, family = _read_configuration(place, options)
        model = getattr(transformers, AUTO[family]).from_pretrained(place, dtype=dtype, **options)
    return Backbone(model.to(device), tokenizer, name)


def _place(name: str) -> tuple[str | Path, dict[str, str]]:
    """What to give to transformers for a model of this name."""
    if name.startswith(STARTER):
        return fetch_model(name.removeprefix(STARTER)), {}
    if name.endswith(".gguf"):
        file = Path(name).expanduser()
        return file.parent, {"gguf_file": file.name}
    return name, {}


def _read_configuration(
    place: str | Path, options: Mapping[str, str]
) -> "tuple[PreTrainedConfig, PretrainedTokenizer, Family]":
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(place, **options)
    tokenizer = AutoTokenizer.from_pretrained(place, **options)
    return config, tokenizer, family_of(config, tokenizer)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what transformers raises for a model of this name into an error of ours."""
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
    # each backend that this build of torch lacks says so with an error of its own kind
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise BackboneError(f'device={name!r} is not to be had here: {error}; "auto" takes what there is') from error
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
