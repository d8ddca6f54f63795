"""Checkpoints for resuming an interrupted fit."""

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from softcloze.errors import CheckpointError
from softcloze.files import expand_user, replacing_file
from softcloze.parameters import integer
from softcloze.prompt.shape import check_shape

Record = dict[str, Any]
MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW
TENSORS = ("weight", "kept", "step", *MOMENTS)  # saved for each weight; "step" has no dimension
FORMAT = "softcloze fit 1"
SECONDS = 10  # between checkpoints within an epoch
Index = Annotated[int, integer(at_least=0)]


class EpochState(TypedDict):
    """The epoch that was interrupted: steps that are done, and sums over their examples; `losses` of each task."""

    steps: Index
    losses: list[float]
    hits: Index
    labels: list[Index]
    seconds: float


class _Epoch(TypedDict):
    epoch: Index
    loss: float
    rate: float
    seconds: float


class _Record(_Epoch, total=False):  # and the loss of each task by its name, if there are several
    validation_loss: float
    accuracy: float  # with labels, as the next one
    labels: Index


class State(TypedDict):
    """The metadata of a checkpoint."""

    format: Literal["softcloze fit 1"]
    digest: str
    seed: Index
    history: list[_Record]
    epoch: EpochState


@dataclass(slots=True)
class Progress:
    """The state of training after a step.

    Attributes:
        tensors: the weights, those that the fit would end with, and AdamW's steps and moments, as "name/kind" with a
            kind of `TENSORS`.
        seed: seed of the fit.
        history: one record for each completed epoch.
        epoch: the next epoch, of which some steps may be done.
        digest: digest of everything that affects the fit.
    """

    tensors: dict[str, Tensor]
    seed: int = 0
    history: list[Record] = field(default_factory=list)
    epoch: EpochState = field(default_factory=lambda: EpochState(steps=0, losses=[], hits=0, labels=[], seconds=0.0))
    digest: str = ""


class Checkpoint:
    """File with the progress of one fit, replaced after each epoch and from time to time within it.

    Attributes:
        path: the file, named after the parameters and examples of the fit, so that different fits can share a folder.
        digest: digest of everything else that affects the fit, such as the weights that it starts with.
    """

    def __init__(self, folder: str | Path, key: str, digest: str = ""):
        """Name the file of the fit with this key in `folder`."""
        self.path = expand_user(folder) / f"fit-{key[:16]}.safetensors"
        self.digest = digest
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """True if the last checkpoint is `SECONDS` old."""
        return time.monotonic() - self._saved >= SECONDS

    def save(self, progress: Progress) -> None:
        """Write `progress` over an earlier one.

        Raises:
            FileError: the file cannot be written.
        """
        state = {"digest": self.digest, "seed": progress.seed, "history": progress.history, "epoch": progress.epoch}
        with replacing_file(self.path) as draft:
            save_file(progress.tensors, draft, metadata={"state": json.dumps({"format": FORMAT, **state})})
        self._saved = time.monotonic()

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
                state = json.loads(file.metadata()["state"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise self._damaged(error) from error
        if problem := check_shape(state, State, "its state"):
            raise self._damaged(problem)
        return Progress(tensors, state["seed"], state["history"], state["epoch"], state["digest"])

    def resume(self, weights: Mapping[str, Tensor]) -> Progress | None:
        """Load the progress of the fit; None if there is none, or, with a warning, if it is of another fit.

        Args:
            weights: the weights to be trained, by name.

        Raises:
            CheckpointError: the file is damaged; names it.
        """
        progress = self.load()
        if progress is None:
            return None
        if progress.digest != self.digest:
            warnings.warn(
                f"{self.path} holds the progress of a fit with another model or other initial vectors, which is "
                "discarded; this fit starts at its first epoch",
                UserWarning,
                stacklevel=5,
            )
            return None
        shapes = {name: tuple(tensor.shape) for name, tensor in progress.tensors.items()}
        expected = {
            f"{name}/{kind}": tuple(weight.shape) if kind != "step" else ()
            for name, weight in weights.items()
            for kind in TENSORS
        }
        if shapes != expected:
            raise self._damaged(f"it holds {shapes}")
        for name, tensor in progress.tensors.items():
            if tensor.dtype != torch.float32 or not tensor.isfinite().all():
                raise self._damaged(f"tensor {name!r} is {tensor.dtype}, or not finite")
        return progress

    def warn_of_others(self) -> None:
        """Warn if the folder holds the progress of other fits and not of this one."""
        if not self.path.exists() and any(self.path.parent.glob("fit-*.safetensors")):
            warnings.warn(
                f"{self.path.parent} holds the progress of another fit, with other examples or parameters, which stays "
                "there; this fit starts at its first epoch",
                UserWarning,
                stacklevel=5,
            )

    def _damaged(self, problem: object) -> CheckpointError:
        return CheckpointError(f"{self.path} is damaged ({problem}); delete it to start this fit again")

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
