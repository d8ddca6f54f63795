"""What the trainable slots hold."""

from softcloze.soft.initialise import INITS, initial_vectors
from softcloze.soft.vectors import SoftVectors

__all__ = ["INITS", "SoftVectors", "initial_vectors"]
