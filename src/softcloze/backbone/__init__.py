"""Pretrained models, loaded once and held still."""

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.batching import in_batches
from softcloze.backbone.errors import BackboneError
from softcloze.backbone.family import Family
from softcloze.backbone.loading import load_backbone, load_tokenizer
from softcloze.backbone.packing import shared_beginning
from softcloze.backbone.pooling import mean_states
from softcloze.backbone.prefix import Prefix

__all__ = [
    "Backbone",
    "BackboneError",
    "Family",
    "Prefix",
    "in_batches",
    "load_backbone",
    "load_tokenizer",
    "mean_states",
    "shared_beginning",
]
