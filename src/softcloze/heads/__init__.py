"""How label scores are read: off label words, or off the state at the mask by something that is trained."""

from softcloze.heads.heads import HEADS, Head, HeadError, check_head, initial_head, load_head
from softcloze.heads.prototypes import PrototypeHead, learn_prototypes
from softcloze.heads.rows import RowHead
from softcloze.heads.words import WordHead

__all__ = [
    "HEADS",
    "Head",
    "HeadError",
    "PrototypeHead",
    "RowHead",
    "WordHead",
    "check_head",
    "initial_head",
    "learn_prototypes",
    "load_head",
]
