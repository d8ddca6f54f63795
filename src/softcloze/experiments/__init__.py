"""Experiments: compare prompts and other classifiers on the same few-shot draws and held-out examples.

Everything that a fair comparison needs is importable from here:

- data: `load_data` (starter data sets), `split_rows` (your own data), `Split`, `Examples`, `few_shot`
- methods: `Method`, `standard_methods`, `prompt_variants`, and the baselines `tfidf`, `SentenceEmbeddingClassifier`,
  `FineTunedClassifier`, `SetFitClassifier`
- the comparison: `Protocol`, `compare`, `Comparison`, and its parts `Run`, `Summary`, `Difference`, `MethodCard`,
  `Spread`, `VariantSpread`
"""

from softcloze.data import Examples, Split, few_shot, split_rows
from softcloze.experiments.baselines import FineTunedClassifier, tfidf
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.methods import Method, standard_methods
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.results import Difference, MethodCard, Run, RunId, Summary
from softcloze.experiments.runner import Progress, compare
from softcloze.experiments.sentence_baselines import SentenceEmbeddingClassifier, SetFitClassifier
from softcloze.experiments.statistics import METRICS, Metric, Spread
from softcloze.experiments.variants import VariantSpread, prompt_variants, spread_over_variants
from softcloze.starters import load_data

__all__ = [
    "METRICS",
    "Comparison",
    "Difference",
    "Examples",
    "FineTunedClassifier",
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
    "Split",
    "Spread",
    "Summary",
    "VariantSpread",
    "compare",
    "few_shot",
    "load_data",
    "prompt_variants",
    "split_rows",
    "spread_over_variants",
    "standard_methods",
    "tfidf",
]
