"""Which labelled examples are shown with which input."""

from softcloze.demonstrations.pool import Pool
from softcloze.demonstrations.selection import (
    Demonstrations,
    FixedDemonstrations,
    NearestDemonstrations,
    Transformer,
    choose,
    mean_states,
)
from softcloze.demonstrations.serialization import pack, unpack

__all__ = [
    "Demonstrations",
    "FixedDemonstrations",
    "NearestDemonstrations",
    "Pool",
    "Transformer",
    "choose",
    "mean_states",
    "pack",
    "unpack",
]
