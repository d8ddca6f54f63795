"""Heads: label scores from label words, or from the state at the mask by trained weights."""

from softcloze.heads.basic import Head, LinearHead, ThresholdHead, WordHead, learn_thresholds
from softcloze.heads.heads import EXCLUSIVE, HEADS, initial_head, load_head
from softcloze.heads.prototypes import PrototypeHead, learn_prototypes

__all__ = [
    "EXCLUSIVE",
    "HEADS",
    "Head",
    "LinearHead",
    "PrototypeHead",
    "ThresholdHead",
    "WordHead",
    "initial_head",
    "learn_prototypes",
    "learn_thresholds",
    "load_head",
]
