"""Load a backbone by name, or take a model that is loaded."""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias, Union
from weakref import WeakValueDictionary

import torch
from torch import nn

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.family import AUTO, Family, family_of, first_position, longest_prompt, validate_language_model
from softcloze.backbone.fingerprint import active_adapters
from softcloze.backbone.location import IN_MEMORY, Location, cannot_load, locate, reading, validated
from softcloze.backbone.quantisation import NONE as UNQUANTISED
from softcloze.backbone.quantisation import QUANTIZATIONS, Quantize, loading_options
from softcloze.backbone.weights import import_models, quiet_report, validate_loaded
from softcloze.encoding import PretrainedTokenizer
from softcloze.errors import BackboneError, ParameterError
from softcloze.formatting import did_you_mean
from softcloze.parameters import BOOLEAN, NONE, instance_of, one_of, validate_parameters
from softcloze.starters import validate_language_model_starter

if TYPE_CHECKING:
    from transformers import Pipeline, PreTrainedConfig, PreTrainedModel

AnyModel: TypeAlias = Union[
    str, "os.PathLike[str]", Backbone, "PreTrainedModel", tuple["PreTrainedModel", PretrainedTokenizer], "Pipeline"
]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OPTIONS = {
    "dtype": one_of("auto", *_DTYPES),
    "device": instance_of("'auto', 'cpu', 'cuda' or 'mps'", str),
    "compile": BOOLEAN,
    "quantize": one_of(*QUANTIZATIONS) | NONE,
}
# names of the files that hold the vocabularies of tokenizers
_VOCABULARY = re.compile(r"^(tokenizer|vocab|tekken)\b.*(?<!_config)\.(json|txt|model)$|\.(model|spm|bpe|tiktoken)$")
_LOADING = RLock()  # so that threads which need the same model load it once


def load_backbone(
    model: AnyModel,
    *,
    dtype: str = "auto",
    device: str = "auto",
    compile: bool = False,
    quantize: Quantize | None = None,
) -> Backbone:
    """Load the backbone `model`; loaded twice, it is shared as long as its files stay the same.

    Args:
        model: "starter:NAME", a model name on a hub, a folder, a .gguf file, or a model in memory: a Backbone, a
            transformers model and its tokenizer as a tuple, a transformers model alone, whose tokenizer is loaded from
            `name_or_path` of the model, or a fill-mask or text-generation pipeline.
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 where the device multiplies it in hardware,
            float32 otherwise. A model in memory keeps its own, as it keeps its device.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": an accelerator if one is available.
        compile: compile the layers for scoring, in place: see `Backbone.compile` and docs/explanation/engine.md.
        quantize: "int8" or "nf4" for weights of 8 or 4 bits in the linear layers of a model given by name, which take
            a half or a quarter of the memory of bfloat16: see docs/how-to/models.md. They need the packages
            softcloze[int8] or softcloze[nf4]. None for weights as `dtype` says.

    Raises:
        BackboneError: the model cannot be loaded, used or compiled.
        ParameterError: `model`, `dtype`, `device`, `compile` or `quantize` is of another kind, or the device or the
            library for `quantize` is not available.
        StarterError: a starter cannot be fetched.
    """
    validate_parameters({"dtype": dtype, "device": device, "compile": compile, "quantize": quantize}, _OPTIONS)
    if quantize is not None and not isinstance(model, str | os.PathLike):
        raise ParameterError(f"quantize={quantize!r} is for a model given by name, and model is in memory already")
    if quantize is not None and compile:
        raise ParameterError(f"quantize={quantize!r} and compile=True exclude each other; leave one of them out")
    where = find_device(device)
    precision = _dtype(dtype, where)
    with _LOADING:
        import_models()
        if isinstance(model, str | os.PathLike):
            backbone = _load(locate(_name(model)), precision, where, quantize)
        else:
            backbone = model if isinstance(model, Backbone) else _take(*_model_and_tokenizer(model))
        if compile:
            backbone.compile()
    return backbone


def load_tokenizer(model: "str | os.PathLike[str]") -> tuple[PretrainedTokenizer, Family, int]:
    """Load the tokenizer of a model named as for `load_backbone`, without the model's weights.

    Returns:
        The tokenizer, the model's family and the number of tokens that it accepts.

    Raises:
        BackboneError: the tokenizer or the configuration cannot be loaded.
        StarterError: a starter cannot be fetched.
    """
    import transformers

    import_models()
    location = validated(locate(_name(model)))
    config, tokenizer, family = _read_configuration(location)
    with reading(location, "configuration"), torch.device("meta"):  # a model without weights
        empty = getattr(transformers, AUTO[family]).from_config(config, trust_remote_code=False)
    return tokenizer, family, longest_prompt(config, tokenizer, first_position(empty))


def validate_model_options(model: object, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `model_options` of a classifier as keyword arguments of `load_backbone`.

    Raises:
        ParameterError: one of them is unknown, or the model is in memory already.
    """
    if options is None:
        return {}
    for name in options:
        if name not in _OPTIONS:
            known = ", ".join(map(repr, _OPTIONS))
            raise ParameterError(f"model_options has {name!r}; expected {known}{did_you_mean(str(name), _OPTIONS)}")
    if options and not isinstance(model, str | os.PathLike):
        kind = type(model).__name__
        raise ParameterError(
            f"model_options={options!r} is for a model given by name, and model is a {kind}; "
            "give the options to load_backbone"
        )
    return dict(options)


def _name(model: "str | os.PathLike[str]") -> str:
    name = os.fspath(model)
    if not isinstance(name, str):
        raise ParameterError(f"model={model!r} is a path of bytes; give it as text")
    validate_language_model_starter(name)
    return name


# two, for comparing one model with another; a model can be hundreds of megabytes
@lru_cache(maxsize=2)
def _load(location: Location, dtype: torch.dtype, device: torch.device, quantize: Quantize | None) -> Backbone:
    import transformers

    more = loading_options(quantize, dtype, device) if quantize is not None else {}
    location = validated(location)
    _, tokenizer, family = _read_configuration(location)
    kind = getattr(transformers, AUTO[family])
    with reading(location, "weights"), quiet_report():
        model, report = kind.from_pretrained(
            location.path,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **location.options,
            **more,
        )
        if "device_map" not in more:
            model.to(device)
    validate_loaded(model, report, location)
    backbone = Backbone(model, tokenizer, location.name)
    if quantize is not None and backbone.quantisation == UNQUANTISED:
        raise BackboneError(
            f"quantize={quantize!r} changes nothing in {location.name}: {type(model).__name__} has no linear layers "
            "that its library knows; load it without"
        )
    return backbone


def _read_configuration(location: Location) -> "tuple[PreTrainedConfig, PretrainedTokenizer, Family]":
    from transformers import AutoConfig

    with reading(location, "configuration"):
        config = AutoConfig.from_pretrained(location.path, **location.options)
    validate_language_model(config)
    tokenizer = read_tokenizer(location)
    return config, tokenizer, family_of(config, tokenizer)


def read_tokenizer(location: Location) -> PretrainedTokenizer:
    """The tokenizer of a model's files.

    Raises:
        BackboneError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    files = [name for name, _, _ in location.stamp if _VOCABULARY.search(name)]
    if files or location.gguf or not location.is_local:
        with reading(location, "tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(location.path, **location.options)
        # where files are missing, transformers makes a tokenizer of special tokens alone
        if set(tokenizer.get_vocab()) - set(tokenizer.added_tokens_encoder):
            return tokenizer
    save = f"tokenizer.save_pretrained({location.path!r})"
    raise cannot_load(location.name, "it has no tokenizer, or an empty one", f"save that of the model there: {save}")


# as long as someone uses a backbone, so that a model in memory is tested once and let go with its last user
_TAKEN: WeakValueDictionary[tuple[object, ...], Backbone] = WeakValueDictionary()


def _take(model: "PreTrainedModel", tokenizer: PretrainedTokenizer | None) -> Backbone:
    """Wrap a model in memory; without a tokenizer, load that of the model's own name."""
    name = getattr(model, "name_or_path", "")
    # the addresses and versions of weights change with training, the length with added tokens
    state = tuple(
        (id(weight), weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        for weight in model.parameters()
    )
    # the chat template says which tokens are control tokens
    of_tokenizer = () if tokenizer is None else (len(tokenizer), repr(tokenizer.chat_template))
    key = id(model), name, state, active_adapters(model), id(tokenizer), *of_tokenizer
    backbone = _TAKEN.get(key)
    if backbone is None:
        if tokenizer is None:
            tokenizer = _tokenizer_of(model, name)
        backbone = _TAKEN[key] = Backbone(model, tokenizer, name or IN_MEMORY + type(model).__name__)
    return backbone


def _tokenizer_of(model: "PreTrainedModel", name: str) -> PretrainedTokenizer:
    kind = type(model).__name__
    try:
        if not name:
            raise BackboneError("its name_or_path is empty")
        return read_tokenizer(validated(locate(name)))
    except BackboneError as error:
        raise BackboneError(
            f"the tokenizer of this {kind} is not known: {error}\n  give it too: model=(model, tokenizer)"
        ) from error


def _model_and_tokenizer(model: object) -> tuple[Any, PretrainedTokenizer | None]:
    """The parts of a model in memory; raise ParameterError for what `load_backbone` does not take."""
    from transformers import Pipeline, PreTrainedTokenizerBase

    match model:
        case nn.Module():
            return model, None
        case (nn.Module() as module, tokenizer) if isinstance(tokenizer, PreTrainedTokenizerBase):
            return module, tokenizer
        case Pipeline() if isinstance(model.model, nn.Module) and model.tokenizer is not None:
            return model.model, model.tokenizer
    match model:
        case None:
            kind = "None"
        case type():
            kind = f"the class {model.__name__}"
        case tuple() | list():
            kind = f"a {type(model).__name__} of {', '.join(type(part).__name__ for part in model) or 'nothing'}"
        case _:
            kind = f"of type {type(model).__name__}"
    raise ParameterError(
        f"model is {kind}; expected a name, a folder, a Backbone, a transformers model, (model, tokenizer), or a "
        "fill-mask or text-generation pipeline"
    )


def find_device(name: str) -> torch.device:
    """The device of a name, as `load_backbone` takes it.

    Raises:
        ParameterError: there is none of this name, or it is not available.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":  # which computes nothing
            raise RuntimeError(name)
    except RuntimeError as error:
        raise ParameterError(f'device={name!r} is unknown; expected "auto", "cpu", "cuda" or "mps"') from error
    try:
        torch.empty(0, device=device)
    # backends that this build of torch lacks raise different errors
    except (AssertionError, ImportError, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(f'device {name!r} is not available: {reason}; use "auto" to select one') from error
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cuda":
        hardware = torch.cuda.is_bf16_supported()
    else:
        # flags and not a measurement, for the same machine should always choose the same: docs/measurements/engine.md
        supported = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        hardware = device.type == "cpu" and supported
    return torch.bfloat16 if hardware else torch.float32
