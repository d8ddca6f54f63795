"""Find label words in a vocabulary by labelled examples, and refine large sets of label words."""

from softcloze.label_words.refine import refine_words
from softcloze.label_words.search import search_label_words
from softcloze.label_words.word_statistics import (
    among_words,
    calibrated_weights,
    frequent,
    learn_weights,
    log_priors,
    relevance,
    relevant,
)

__all__ = [
    "among_words",
    "calibrated_weights",
    "frequent",
    "learn_weights",
    "log_priors",
    "refine_words",
    "relevance",
    "relevant",
    "search_label_words",
]
