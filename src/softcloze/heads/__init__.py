"""How label scores are read: off label words, or off the state at the mask by something that is trained."""

from softcloze.heads.heads import EXCLUSIVE, HEADS, Head, HeadError, check_head, initial_head, load_head
from softcloze.heads.prototypes import PrototypeHead, learn_prototypes
from softcloze.heads.rows import RowHead
from softcloze.heads.thresholds import ThresholdHead, learn_thresholds
from softcloze.heads.words import WordHead

__all__ = [
    "EXCLUSIVE",
    "HEADS",
    "Head",
    "HeadError",
    "PrototypeHead",
    "RowHead",
    "ThresholdHead",
    "WordHead",
    "check_head",
    "initial_head",
    "learn_prototypes",
    "learn_thresholds",
    "load_head",
]
