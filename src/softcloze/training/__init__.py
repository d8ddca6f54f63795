"""Training of soft vectors and heads."""

from softcloze.training.checkpoint import Checkpoint, Record
from softcloze.training.loop import hold_out, train, warn_if_stuck
from softcloze.training.settings import RANGES, TrainingSettings, parse_size, validate_ranges

__all__ = [
    "RANGES",
    "Checkpoint",
    "Record",
    "TrainingSettings",
    "hold_out",
    "parse_size",
    "train",
    "validate_ranges",
    "warn_if_stuck",
]
