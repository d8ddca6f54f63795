"""Hyper-parameter search over prompts: search spaces, and the importance of each choice."""

from softcloze.search.importance import Level, Parameter
from softcloze.search.results import Candidate, Round
from softcloze.search.search_space import library_prompts
from softcloze.search.summary import SearchSummary, summarise_search

__all__ = ["Candidate", "Level", "Parameter", "Round", "SearchSummary", "library_prompts", "summarise_search"]
