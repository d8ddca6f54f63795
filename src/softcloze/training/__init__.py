"""Training soft vectors."""

from softcloze.training.checkpoint import Checkpoint, CheckpointError, Record
from softcloze.training.loop import hold_out, train, warn_if_stuck
from softcloze.training.settings import SettingsError, TrainingSettings, bytes_of

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Record",
    "SettingsError",
    "TrainingSettings",
    "bytes_of",
    "hold_out",
    "train",
    "warn_if_stuck",
]
