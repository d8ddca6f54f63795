"""Backbones in pickles and in other processes: by name, never with their weights."""

import copyreg
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.loading import find_device, load_backbone
from softcloze.backbone.location import locate
from softcloze.backbone.quantisation import QUANTIZATIONS
from softcloze.errors import BackboneError, ParameterError, StarterError


def describe(backbone: Backbone) -> dict[str, Any]:
    """The facts by which `load_described` loads a backbone again, as data that JSON holds.

    Raises:
        BackboneError: its name names no files, as that of a model in memory.
    """
    validate_name(backbone.name)
    return {
        "name": backbone.name,
        "dtype": str(backbone.model.dtype).removeprefix("torch."),
        "device": str(backbone.device),
        "compile": backbone.compiled,
        "quantize": backbone.quantisation if backbone.quantisation in QUANTIZATIONS else None,
        "fingerprint": dict(backbone.fingerprint),
    }


def load_described(facts: Mapping[str, Any]) -> Backbone:
    """Load a backbone by the facts of `describe`; on another device if this machine lacks that one.

    Raises:
        BackboneError: it cannot be loaded by its name, or the name means another model here.
    """
    options = {name: facts[name] for name in ("dtype", "device", "compile", "quantize")}
    try:
        find_device(options["device"])
    except ParameterError:
        options["device"] = "auto"
    with naming(facts):
        backbone = load_backbone(facts["name"], **options)
    validate_same(facts, backbone.name, backbone.fingerprint)
    return backbone


def validate_name(name: str) -> None:
    """Raise BackboneError if a model with this name cannot go into a pickle, since the name names no files."""
    try:
        locate(name)
    except BackboneError as error:
        raise BackboneError(
            f"the model {name!r} goes into a pickle or to another process by its name, which names no files: save it "
            "with model.save_pretrained(folder) and tokenizer.save_pretrained(folder), and give that folder in its "
            "place"
        ) from error


@contextmanager
def naming(facts: Mapping[str, Any]) -> Iterator[None]:
    """Add the model of a pickle to an error of loading it.

    Raises:
        BackboneError: in place of any error of loading.
    """
    try:
        yield
    except (BackboneError, StarterError) as error:
        raise BackboneError(f"{_pickled(facts)}, and loading it by that name fails\n  {error}") from error


def validate_same(facts: Mapping[str, Any], name: str, fingerprint: Mapping[str, Any]) -> None:
    """Raise BackboneError if a loaded model has another fingerprint than the pickled one; names both."""
    for part, expected in facts["fingerprint"].items():
        if fingerprint.get(part) != expected:
            raise BackboneError(
                f"{_pickled(facts)}, and here that name loads another one, {name!r} (weights {_short(fingerprint)}): "
                f"its {part.replace('_', ' ')} differs\n  put the model of then there again, or fit anew"
            )


def _reduce(backbone: Backbone) -> tuple[Any, ...]:
    return load_described, (describe(backbone),)


copyreg.pickle(Backbone, _reduce)


def _pickled(facts: Mapping[str, Any]) -> str:
    return f"this was pickled with the model {facts['name']!r} (weights {_short(facts['fingerprint'])})"


def _short(fingerprint: Mapping[str, Any]) -> str:
    return f"{fingerprint['model'][:12]}…"
