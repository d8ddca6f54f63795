"""Checks before, during and after a training."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from softcloze.errors import NonFiniteError, ParameterError
from softcloze.training.checkpoint import Record


def validate_gradients() -> None:
    """Raise ParameterError where torch computes no gradients."""
    if not torch.is_grad_enabled():  # nor in inference mode
        raise ParameterError(
            "training computes gradients, and torch.no_grad() or torch.inference_mode() switches them off here; call "
            "fit outside of that block"
        )


@dataclass(frozen=True, slots=True)
class FiniteCheck:
    """Check of a training's numbers, with what its message names.

    Attributes:
        learning_rate: of the training.
        dtype: precision of the model.
        steps_per_epoch: number of steps in an epoch.
    """

    learning_rate: float
    dtype: torch.dtype
    steps_per_epoch: int

    def validate(self, values: Sequence[Tensor], what: str, step: int) -> None:
        """Raise NonFiniteError if a value is NaN or infinite; names epoch and step."""
        if all(bool(value.isfinite().all()) for value in values):
            return
        epoch, number = divmod(step, self.steps_per_epoch)
        raise NonFiniteError(
            f"the {what} is NaN or infinite in epoch {epoch + 1}, step {number + 1} of {self.steps_per_epoch}, with "
            f"learning_rate={self.learning_rate} in {str(self.dtype).removeprefix('torch.')}: lower the learning rate, "
            'or load the model with dtype="bfloat16" or "float32"; nothing was learnt'
        )


def warn_if_stuck(history: Sequence[Record], target_loss: float, others: str = "other label words") -> None:
    """Warn if the training loss did not fall; `others` is what may be tried besides another template."""
    first, last = history[0]["loss"], history[-1]["loss"]
    if len(history) > 1 and last > 0.99 * first and last > target_loss:
        fell = "hardly fell" if last < first else "did not fall"
        warnings.warn(
            f"the training loss {fell} ({first:.3f} nats in the first epoch, {last:.3f} in the last); "
            f"try another template, {others} or more epochs",
            ConvergenceWarning,
            stacklevel=4,
        )
