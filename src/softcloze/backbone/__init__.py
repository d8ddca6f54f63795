"""Pretrained models, loaded once and held still."""

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.batching import in_batches
from softcloze.backbone.engine import Engine
from softcloze.backbone.family import Family
from softcloze.backbone.kv_cache import Prefix
from softcloze.backbone.loading import load_backbone, load_tokenizer
from softcloze.backbone.packing import shared_beginning

__all__ = [
    "Backbone",
    "Engine",
    "Family",
    "Prefix",
    "in_batches",
    "load_backbone",
    "load_tokenizer",
    "shared_beginning",
]
