"""Checkpoints for resuming an interrupted fit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from softcloze.errors import CheckpointError
from softcloze.files import replacing_file

Record = dict[str, Any]
TENSORS = ("weight", "kept", "exp_avg", "exp_avg_sq")  # saved for each weight


@dataclass(slots=True)
class Progress:
    """The state of training between two epochs.

    Attributes:
        tensors: the weights, those that the fit would end with, and AdamW's moments, as "name/kind" with a kind of
            `TENSORS`.
        history: one record for each completed epoch.
    """

    tensors: dict[str, Tensor]
    history: list[Record] = field(default_factory=list)


class Checkpoint:
    """File with the progress of one fit, replaced after each epoch and removed at the end.

    Attributes:
        path: the file, named after a digest of data and settings, so that different fits can share a folder.
    """

    def __init__(self, folder: str | Path, digest: str):
        """Name the file of the fit with this digest in `folder`."""
        self.path = Path(folder).expanduser() / f"fit-{digest[:16]}.safetensors"

    def save(self, progress: Progress) -> None:
        """Write `progress`, in place of any earlier one."""
        with replacing_file(self.path) as draft:
            save_file(progress.tensors, draft, metadata={"history": json.dumps(progress.history)})

    def load(self) -> Progress | None:
        """Load the progress of an interrupted fit, or return None if no file exists.

        Raises:
            CheckpointError: the file is damaged; names it.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
                return Progress(tensors, json.loads(file.metadata()["history"]))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{self.path} is damaged ({error}); delete it to start this fit again") from error

    def validate(self, progress: Progress, weights: Mapping[str, Tensor]) -> None:
        """Raise CheckpointError if the names or shapes in `progress` are not those of `weights`.

        Raises:
            CheckpointError: names the file.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in progress.tensors.items()}
        if shapes != {f"{name}/{kind}": tuple(weight.shape) for name, weight in weights.items() for kind in TENSORS}:
            raise CheckpointError(f"{self.path} is damaged (it holds {shapes}); delete it to start this fit again")

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
