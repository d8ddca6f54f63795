"""Training soft vectors."""

from softcloze.training.checkpoint import Checkpoint, Record
from softcloze.training.loop import hold_out, train, warn_if_stuck
from softcloze.training.settings import TrainingSettings, bytes_of

__all__ = ["Checkpoint", "Record", "TrainingSettings", "bytes_of", "hold_out", "train", "warn_if_stuck"]
