"""Soft vectors: the trainable input embeddings of soft slots, and their initial values."""

from softcloze.soft.initialise import INITS, initial_vectors
from softcloze.soft.vectors import SoftVectors

__all__ = ["INITS", "SoftVectors", "initial_vectors"]
