"""What goes to other processes: anything that methods are made of, with backbones by name in the place of weights."""

import pickle
from io import BytesIO
from typing import NamedTuple

import cloudpickle

from softcloze.backbone import Backbone, BackboneError, load_backbone
from softcloze.experiments.errors import ExperimentError


class _Named(NamedTuple):
    """What `load_backbone` needs for a backbone, and what tells whether it is the same."""

    name: str
    dtype: str
    device: str
    compiled: bool
    fingerprint: dict[str, str]


class _Packer(cloudpickle.Pickler):
    """Pickles functions and classes of scripts and notebooks as well."""

    def persistent_id(self, obj: object) -> _Named | None:
        """What goes by name."""
        if not isinstance(obj, Backbone):
            return None
        dtype = str(obj.model.dtype).removeprefix("torch.")
        return _Named(obj.name, dtype, str(obj.device), obj.compiled, obj.fingerprint)


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, pid: _Named) -> Backbone:
        """What goes by name, found again."""
        try:
            found = load_backbone(pid.name, dtype=pid.dtype, device=pid.device, compile=pid.compiled)
        except BackboneError as error:
            raise ExperimentError(_unknown(pid, f"loading it by that name fails: {error}")) from error
        if found.fingerprint != pid.fingerprint:
            raise ExperimentError(_unknown(pid, "by that name other weights or another tokenizer are loaded"))
        return found


def packed(value: object) -> bytes:
    """Bytes for a process of our own; never for files, which anybody may have written.

    Raises:
        ExperimentError: something that stays in its process, such as an open file.
    """
    buffer = BytesIO()
    try:
        _Packer(buffer).dump(value)
    except Exception as error:
        raise ExperimentError(
            f"the methods cannot be sent to other processes: {error}; processes=1 keeps them here"
        ) from error
    return buffer.getvalue()


def unpacked(content: bytes) -> object:
    """What `packed` was given.

    Raises:
        ExperimentError: a backbone whose name does not lead to it.
    """
    return _Unpacker(BytesIO(content)).load()


def _unknown(backbone: _Named, reason: str) -> str:
    return (
        f"each process loads the backbone {backbone.name!r} for itself, and {reason}\n"
        "give the methods a model as load_backbone takes it, or compare with processes=1"
    )
