"""Searches over prompts: candidates for scikit-learn's searchers and optuna, and what mattered in a search."""

from softcloze.tuning.candidates import library_prompts, with_slots
from softcloze.tuning.effects import Level, Parameter
from softcloze.tuning.errors import TuningError
from softcloze.tuning.rounds import Candidate, Round
from softcloze.tuning.summary import SearchSummary, summarise_search

__all__ = [
    "Candidate",
    "Level",
    "Parameter",
    "Round",
    "SearchSummary",
    "TuningError",
    "library_prompts",
    "summarise_search",
    "with_slots",
]
