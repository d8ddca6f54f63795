"""Demonstrations: labelled examples shown in the prompt, selected for each input."""

from softcloze.demonstrations.mean_states import mean_states
from softcloze.demonstrations.pool import Pool
from softcloze.demonstrations.selection import (
    SELECTION,
    Demonstrations,
    FixedDemonstrations,
    NearestDemonstrations,
    Transformer,
    answer_demonstrations_from_dict,
    demonstrations_from_dict,
    select_demonstrations,
)

__all__ = [
    "SELECTION",
    "Demonstrations",
    "FixedDemonstrations",
    "NearestDemonstrations",
    "Pool",
    "Transformer",
    "answer_demonstrations_from_dict",
    "demonstrations_from_dict",
    "mean_states",
    "select_demonstrations",
]
