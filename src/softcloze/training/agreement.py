"""Start of a training that several processes share: all take the values and the progress of the first one."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from softcloze.errors import ProcessError
from softcloze.training.checkpoint import Checkpoint, Progress
from softcloze.training.distributed import Processes
from softcloze.training.settings import ResolvedSettings
from softcloze.training.task import TrainingTask


def validate_parts(
    group: Processes, tasks: Sequence[TrainingTask], settings: ResolvedSettings, batch_size: int
) -> None:
    """Raise ProcessError if there are more processes than parts of a batch."""
    largest = min(batch_size, max(len(task.prompts) for task in tasks))
    parts = -(-largest // (settings.part_size if settings.part_size is not None else 1))
    if group.count > parts:
        size = f" of part_size={settings.part_size}" if settings.part_size is not None else ""
        raise ProcessError(
            f"{group.count} processes share a step, and the {largest} examples of a step make at most {parts} "
            f"part{'s' if parts > 1 else ''}{size}: start {parts}, or raise batch_size={batch_size}"
        )


def take_values_of_first(group: Processes, tasks: Sequence[TrainingTask]) -> None:
    """Give vectors and heads the values of the first process."""
    if group.count == 1:
        return
    modules = [module for task in tasks for module in (task.soft, task.head) if module is not None]
    values = {f"{i}/{name}": value for i, module in enumerate(modules) for name, value in module.state_dict().items()}
    first = group.first(lambda: values)
    for name, value in values.items():
        value.copy_(first[name])


def resume(group: Processes, checkpoint: Checkpoint | None, trained: Mapping[str, nn.Parameter]) -> Progress | None:
    """The progress of an interrupted fit, which the first process loads; None without one.

    Raises:
        CheckpointError: as `Checkpoint.resume`; in other processes it is a ProcessError.
    """
    if checkpoint is None:
        return None
    progress = None

    def load() -> list[Any] | None:
        nonlocal progress
        progress = checkpoint.resume(trained)
        return [progress.seed, progress.history, progress.epoch, progress.digest] if progress is not None else None

    state = group.first_value(load)
    if state is None:
        return None
    tensors = group.first(lambda: progress.tensors if progress is not None else {})
    return Progress(tensors, *state)
