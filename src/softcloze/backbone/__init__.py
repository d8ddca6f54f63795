"""Pretrained models, loaded once and held still."""

from softcloze.backbone.backbone import Backbone, BackboneError, Family
from softcloze.backbone.loading import load_backbone

__all__ = ["Backbone", "BackboneError", "Family", "load_backbone"]
