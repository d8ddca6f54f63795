"""Soft vectors: what is trained at soft slots, and its initial values."""

from softcloze.soft.initialise import INITS, initial_vectors
from softcloze.soft.layer_states import layer_rms
from softcloze.soft.shared_block import SharedBlock
from softcloze.soft.vectors import SoftVectors

__all__ = ["INITS", "SharedBlock", "SoftVectors", "initial_vectors", "layer_rms"]
