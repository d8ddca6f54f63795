"""What the trainable slots hold."""

from softcloze.soft.initialise import INITS, initial_vectors
from softcloze.soft.vectors import SoftSlotError, SoftVectors

__all__ = ["INITS", "SoftSlotError", "SoftVectors", "initial_vectors"]
