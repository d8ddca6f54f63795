"""Training of soft vectors and heads."""

from softcloze.training.checkpoint import Checkpoint, Record
from softcloze.training.checks import validate_gradients, warn_if_stuck
from softcloze.training.distributed import joined_processes, processes
from softcloze.training.held_out import hold_out
from softcloze.training.loop import train
from softcloze.training.settings import FIT_PARAMETERS, ResolvedSettings, TrainingSettings, parse_size
from softcloze.training.task import TrainingTask

__all__ = [
    "FIT_PARAMETERS",
    "Checkpoint",
    "Record",
    "ResolvedSettings",
    "TrainingSettings",
    "TrainingTask",
    "hold_out",
    "joined_processes",
    "parse_size",
    "processes",
    "train",
    "validate_gradients",
    "warn_if_stuck",
]
