"""Sentence embeddings from a frozen encoder."""

from softcloze.embeddings.encoder import SentenceEncoder
from softcloze.embeddings.loading import ENCODER, AnyEncoder, load_encoder, validate_encoder

__all__ = ["ENCODER", "AnyEncoder", "SentenceEncoder", "load_encoder", "validate_encoder"]
