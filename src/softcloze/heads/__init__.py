"""How label scores are read: off label words, or off the state at the mask by something that is trained."""

from softcloze.heads.basic import RowHead, ThresholdHead, WordHead, learn_thresholds
from softcloze.heads.heads import EXCLUSIVE, HEADS, Head, check_head, initial_head, load_head
from softcloze.heads.prototypes import PrototypeHead, learn_prototypes

__all__ = [
    "EXCLUSIVE",
    "HEADS",
    "Head",
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
