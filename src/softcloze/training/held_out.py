"""Held-out examples: their split, their loss, and the end of a training."""

from collections.abc import Sequence

import torch

from softcloze.errors import ParameterError
from softcloze.training.checkpoint import Record
from softcloze.training.distributed import Processes
from softcloze.training.features import TrainingFeatures
from softcloze.training.settings import ResolvedSettings
from softcloze.training.task import TrainingTask


def hold_out(targets: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split examples into a training and a held-out part, with the same share of each class.

    Args:
        targets: index of each example's class.
        share: share of the examples to hold out.
        seed: seed of the split.

    Returns:
        The indices of the examples to train on, and of those held out.

    Raises:
        ParameterError: too few examples to hold some out.

    >>> hold_out([0, 0, 0, 0, 1, 1, 1, 1], share=0.25, seed=0)
    ([3, 4, 6, 2, 1, 5], [7, 0])
    """
    from sklearn.model_selection import train_test_split

    try:
        chosen, held_out = train_test_split(
            range(len(targets)), test_size=share, stratify=targets, random_state=seed % 2**32
        )
    except ValueError as error:
        raise ParameterError(f"cannot hold out a share of {len(targets)} examples: {error}") from error
    return chosen, held_out


def validation_loss(
    tasks: Sequence[TrainingTask],
    features: Sequence[TrainingFeatures],
    held_out: Sequence[list[int]],
    group: Processes,
) -> float:
    """Mean loss of the held-out examples of all tasks, in the unit of the loss."""
    total, size = 0.0, 0
    with torch.no_grad():
        for task, of_task, rows in zip(tasks, features, held_out, strict=True):
            loss = task.loss(task.label_scores(group.share(rows, of_task.without_gradient)), rows)
            total, size = total + float(loss) * task.size(rows), size + task.size(rows)
    return total / size


def finished(history: Sequence[Record], epochs: int, settings: ResolvedSettings) -> bool:
    """Return True if a training with this history stops: after all epochs, at the target loss, or early."""
    if not history:
        return False
    if len(history) >= epochs or history[-1]["loss"] < settings.target_loss:
        return True
    if settings.early_stopping:
        losses = [record["validation_loss"] for record in history]
        return len(losses) - 1 - losses.index(min(losses)) >= settings.n_iter_no_change
    return False
