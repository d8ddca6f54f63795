"""Experiments: draw few examples, and compare prompts on the same rows."""

from softcloze.experiments.compare import Comparison, MethodResult, compare
from softcloze.experiments.errors import ExperimentError
from softcloze.experiments.few_shot import few_shot
from softcloze.experiments.progress import Progress
from softcloze.experiments.scoring import score_seeds

__all__ = [
    "Comparison",
    "ExperimentError",
    "MethodResult",
    "Progress",
    "compare",
    "few_shot",
    "score_seeds",
]
