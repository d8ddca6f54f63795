"""Experiments: draw few examples, and compare prompts and other classifiers honestly on the same rows."""

from softcloze.experiments.baselines import FineTunedClassifier, SetFitClassifier, tfidf
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.grid import Progress
from softcloze.experiments.methods import Method, standard_methods
from softcloze.experiments.prompt_variants import VariantSpread, spread_over_variants, wordings
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.results import Difference, MethodCard, Run, Summary
from softcloze.experiments.runner import compare
from softcloze.experiments.statistics import METRICS, Metric, Spread

__all__ = [
    "METRICS",
    "Comparison",
    "Difference",
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
    "VariantSpread",
    "compare",
    "spread_over_variants",
    "standard_methods",
    "tfidf",
    "wordings",
]
