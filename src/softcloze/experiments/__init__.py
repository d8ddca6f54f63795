"""Experiments: draw few examples, and compare prompts and other classifiers honestly on the same rows."""

from softcloze.experiments.comparison import Comparison, Difference, MethodCard, Run, Summary
from softcloze.experiments.errors import ExperimentError
from softcloze.experiments.few_shot import few_shot
from softcloze.experiments.finetuning import FineTunedClassifier
from softcloze.experiments.methods import Method, standard_methods, tfidf
from softcloze.experiments.progress import Progress
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.runner import compare
from softcloze.experiments.setfit import SetFitClassifier
from softcloze.experiments.statistics import METRICS, Metric, Spread
from softcloze.experiments.wordings import WordingSpread, spread_over_wordings, wordings

__all__ = [
    "METRICS",
    "Comparison",
    "Difference",
    "ExperimentError",
    "FineTunedClassifier",
    "Method",
    "MethodCard",
    "Metric",
    "Progress",
    "Protocol",
    "Run",
    "SetFitClassifier",
    "Shots",
    "Spread",
    "Summary",
    "WordingSpread",
    "compare",
    "few_shot",
    "spread_over_wordings",
    "standard_methods",
    "tfidf",
    "wordings",
]
