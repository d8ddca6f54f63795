"""Load a sentence encoder: a starter, a folder of sentence-transformers or transformers, or a name on a hub."""

import copyreg
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import torch

from softcloze.backbone.by_name import naming, validate_name, validate_same
from softcloze.backbone.loading import read_tokenizer
from softcloze.backbone.location import Location, cannot_load, folder_location, locate, reading, validated
from softcloze.backbone.weights import quiet_report
from softcloze.embeddings.encoder import CONSTRAINTS, POOLER, POOLINGS, SentenceEncoder
from softcloze.encoding import PretrainedTokenizer
from softcloze.errors import ParameterError
from softcloze.formatting import quoted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ENCODER = "starter:minilm-l6"
AnyEncoder: TypeAlias = Union[str, "os.PathLike[str]", SentenceEncoder, tuple["PreTrainedModel", PretrainedTokenizer]]
_MODULES = ("Transformer", "Pooling", "Normalize")  # of sentence-transformers, in this order
LIMIT = CONSTRAINTS["max_length"]
_LOADING = RLock()  # so that threads which need the same encoder load it once


def load_encoder(encoder: AnyEncoder = ENCODER, *, max_length: int | None = None) -> SentenceEncoder:
    """Load a sentence encoder; loaded twice, its weights are shared as long as its files stay the same.

    A folder in the format of sentence-transformers says which pooling it takes, whether vectors are normalised, and
    the longest text. Another folder of transformers gets mean pooling, as sentence-transformers does it. Weights are
    loaded in float32, on an accelerator if one is available.

    Args:
        encoder: "starter:NAME", a folder, a name on a hub, a loaded `SentenceEncoder`, or a transformers model and its
            tokenizer as a tuple.
        max_length: tokens of a text, if fewer than the encoder takes.

    Raises:
        BackboneError: the encoder cannot be loaded, or has modules that are not supported.
        ParameterError: `encoder` or `max_length` is of another kind.
        StarterError: a starter cannot be fetched.

    >>> load_encoder("starter:minilm-l6", max_length=64)
    SentenceEncoder('starter:minilm-l6', width=384, max_length=64)
    """
    validate_encoder(encoder)
    match encoder:
        case SentenceEncoder():
            return encoder if max_length is None else encoder.shortened(max_length)
        case (network, tokenizer):
            name = network.name_or_path or type(network).__name__
            return SentenceEncoder(network, tokenizer, name, max_length=max_length)
    with _LOADING:
        loaded = _load(locate(os.fspath(encoder)))
    return loaded if max_length is None else loaded.shortened(max_length)


def _reduce(encoder: SentenceEncoder) -> tuple[Any, ...]:
    """Pickle an encoder by its name, as a backbone; raises BackboneError if it names no files."""
    validate_name(encoder.name)
    facts = {"name": encoder.name, "max_length": encoder.max_length, "fingerprint": encoder.fingerprint}
    return _load_described, (facts,)


copyreg.pickle(SentenceEncoder, _reduce)


def _load_described(facts: Mapping[str, Any]) -> SentenceEncoder:
    """Load an encoder by its facts; raises BackboneError if its name means another one here."""
    with naming(facts):
        encoder = load_encoder(facts["name"], max_length=facts["max_length"])
    validate_same(facts, encoder.name, encoder.fingerprint)
    return encoder


def validate_encoder(encoder: object) -> None:
    """Raise ParameterError if an encoder is of no kind that `load_encoder` takes."""
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    match encoder:
        case SentenceEncoder() | str() | Path():
            return
        case (PreTrainedModel(), PreTrainedTokenizerBase()):
            return
    raise ParameterError(
        f"encoder is {quoted(encoder, 60)}; expected a name, a folder, a SentenceEncoder, or a transformers model and "
        "its tokenizer as a tuple"
    )


@lru_cache(maxsize=2)  # as for backbones
def _load(location: Location) -> SentenceEncoder:
    from transformers import AutoModel

    location = _local(validated(location))
    with reading(location, "modules"):
        settings = _settings(location.name, Path(location.path))
    with reading(location, "weights"), quiet_report():
        network, report = AutoModel.from_pretrained(
            location.path, dtype=torch.float32, output_loading_info=True, **location.options
        )
        network.to(torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu"))
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(POOLER))
    if missing:
        raise cannot_load(
            location.name,
            f"its files lack weights of {type(network).__name__}, and random ones would take their place",
            f"missing: {', '.join(missing[:4])}{' …' if missing[4:] else ''}",
        )
    return SentenceEncoder(network.requires_grad_(False), read_tokenizer(location), location.name, **settings)


def _local(location: Location) -> Location:
    """The location of an encoder on this machine; from a hub, its files are downloaded."""
    if location.is_local:
        return location
    from huggingface_hub import snapshot_download

    with reading(location, "files"):
        folder = snapshot_download(location.path, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"])
    return folder_location(location.name, Path(folder))


def _settings(name: str, folder: Path) -> dict[str, Any]:
    """Pooling, normalisation and limit of a folder, as sentence-transformers saves them; empty without its files."""
    modules = _json(folder / "modules.json")
    if modules is None:
        return {}
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if tuple(kinds) not in (_MODULES[:2], _MODULES):
        raise cannot_load(
            name,
            f"its modules.json lists {', '.join(kinds) or 'nothing'}",
            f"expected {', '.join(_MODULES[:2])} and perhaps {_MODULES[2]}; embed with sentence-transformers, and give "
            "the vectors to a classifier of scikit-learn",
        )
    pooling = _json(folder / modules[1]["path"] / "config.json")
    limit = (_json(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
    if not LIMIT.holds(limit):
        raise cannot_load(name, f"its max_seq_length is {limit!r}", f"expected {LIMIT.expected}")
    return {"pooling": _pooling(name, pooling), "normalise": len(kinds) == len(_MODULES), "max_length": limit}


def _pooling(name: str, config: Mapping[str, Any]) -> str:
    """The only mode of pooling in a configuration."""
    mode = config.get("pooling_mode")
    if mode is None:  # older versions have a flag for each mode
        prefix, other = "pooling_mode_", {"cls_token": "cls", "mean_tokens": "mean"}
        flags = [flag.removeprefix(prefix) for flag, on in config.items() if flag.startswith(prefix) and on]
        mode = " and ".join(other.get(flag, flag) for flag in flags)
    if mode not in POOLINGS:
        raise cannot_load(name, f"its pooling is {mode!r}", f"expected one of {', '.join(POOLINGS)}")
    return str(mode)


def _json(path: Path) -> Any:  # noqa: ANN401
    return json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else None
