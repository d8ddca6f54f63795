"""Frozen pretrained models, loaded once."""

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.batching import micro_batches, run_length_bucketed
from softcloze.backbone.by_name import describe, load_described
from softcloze.backbone.engine import RuntimeInfo
from softcloze.backbone.family import Family
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.lm_head import StatesOf
from softcloze.backbone.loading import AnyModel, load_backbone, load_tokenizer, validate_model_options
from softcloze.backbone.mean_states import mean_states_of_ids
from softcloze.backbone.packing import shared_prefix
from softcloze.backbone.soft_inputs import FieldNetwork, LayerVectors, SoftInputs, StatesBelow

__all__ = [
    "AnyModel",
    "Backbone",
    "Family",
    "FieldNetwork",
    "LayerVectors",
    "PrefixCache",
    "RuntimeInfo",
    "SoftInputs",
    "StatesBelow",
    "StatesOf",
    "describe",
    "load_backbone",
    "load_described",
    "load_tokenizer",
    "mean_states_of_ids",
    "micro_batches",
    "run_length_bucketed",
    "shared_prefix",
    "validate_model_options",
]
