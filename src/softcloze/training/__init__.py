"""Training soft vectors."""

from softcloze.training.checkpoint import Checkpoint, CheckpointError, Record
from softcloze.training.loop import train, warn_if_stuck
from softcloze.training.settings import SettingsError, TrainingSettings

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Record",
    "SettingsError",
    "TrainingSettings",
    "train",
    "warn_if_stuck",
]
