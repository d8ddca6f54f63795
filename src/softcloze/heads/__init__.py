"""Heads: label scores from label words, or from the state at the mask by trained weights."""

from softcloze.heads.answers import AnswerHead
from softcloze.heads.basic import Head, LinearHead, ThresholdHead, WordHead, WordsLinearHead, learn_thresholds
from softcloze.heads.exact import ExactFit, fit_exact
from softcloze.heads.heads import EXACT, EXCLUSIVE, HEADS, initial_head, load_head
from softcloze.heads.prototypes import PrototypeHead, learn_prototypes

__all__ = [
    "EXACT",
    "EXCLUSIVE",
    "HEADS",
    "AnswerHead",
    "ExactFit",
    "Head",
    "LinearHead",
    "PrototypeHead",
    "ThresholdHead",
    "WordHead",
    "WordsLinearHead",
    "fit_exact",
    "initial_head",
    "learn_prototypes",
    "learn_thresholds",
    "load_head",
]
