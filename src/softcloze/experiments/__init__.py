"""Experiments: compare prompts and other classifiers on the same few-shot draws and held-out examples.

Everything that a fair comparison needs is importable from here:

- data: `load_data` (starter data sets), `split_rows` (your own data), `Split`, `Examples`, `few_shot`
- methods: `Method`, `standard_methods`, `prompt_variants`, and the baselines `tfidf`, `SentenceEmbeddingClassifier`,
  `FineTunedClassifier`, `SetFitClassifier`
- the comparison: `Protocol`, `compare`, `Comparison`, and its parts `Run`, `Summary`, `Difference`, `MethodCard`,
  `Spread`, `VariantSpread`
- generated texts: `evaluate_generation`, `evaluate_draws`, `generation_metrics`, `GenerationEvaluation` and its
  `TextScore`; `compare_generation`, `GenerationComparison`, and its parts `TextDifference` and `SideBySide`
"""

from softcloze.data import Examples, Split, few_shot, split_rows
from softcloze.experiments.baselines import FineTunedClassifier, tfidf
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.generation import (
    GENERATION_METRICS,
    GenerationEvaluation,
    GenerationMetric,
    TextScore,
    evaluate_generation,
    generation_metrics,
)
from softcloze.experiments.generation_comparison import (
    GenerationComparison,
    SideBySide,
    TextDifference,
    compare_generation,
    evaluate_draws,
)
from softcloze.experiments.methods import Method, standard_methods
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.results import Difference, MethodCard, Run, RunId, Summary
from softcloze.experiments.runner import Progress, compare
from softcloze.experiments.sentence_baselines import SentenceEmbeddingClassifier, SetFitClassifier
from softcloze.experiments.statistics import METRICS, Metric, Spread
from softcloze.experiments.variants import VariantSpread, prompt_variants, spread_over_variants
from softcloze.starters import load_data

__all__ = [
    "GENERATION_METRICS",
    "METRICS",
    "Comparison",
    "Difference",
    "Examples",
    "FineTunedClassifier",
    "GenerationComparison",
    "GenerationEvaluation",
    "GenerationMetric",
    "Method",
    "MethodCard",
    "Metric",
    "Progress",
    "Protocol",
    "Run",
    "RunId",
    "SentenceEmbeddingClassifier",
    "SetFitClassifier",
    "Shots",
    "SideBySide",
    "Split",
    "Spread",
    "Summary",
    "TextDifference",
    "TextScore",
    "VariantSpread",
    "compare",
    "compare_generation",
    "evaluate_draws",
    "evaluate_generation",
    "few_shot",
    "generation_metrics",
    "load_data",
    "prompt_variants",
    "split_rows",
    "spread_over_variants",
    "standard_methods",
    "tfidf",
]
