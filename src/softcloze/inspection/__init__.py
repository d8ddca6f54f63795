"""Looking into trained soft prompts: what the vectors are near to, what each does, and what words make of them."""

from softcloze.inspection.deletion import DeletedVector, Deletions, delete_vectors
from softcloze.inspection.errors import InspectionError
from softcloze.inspection.hardening import Hardening, HardPrompt, harden
from softcloze.inspection.rows import Score
from softcloze.inspection.trajectory import Epoch, Trajectory, VectorLog, trajectory
from softcloze.inspection.vectors import SoftInspection, SoftVector, VocabularyWord, inspect_soft

__all__ = [
    "DeletedVector",
    "Deletions",
    "Epoch",
    "HardPrompt",
    "Hardening",
    "InspectionError",
    "Score",
    "SoftInspection",
    "SoftVector",
    "Trajectory",
    "VectorLog",
    "VocabularyWord",
    "delete_vectors",
    "harden",
    "inspect_soft",
    "trajectory",
]
