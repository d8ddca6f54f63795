"""softcloze: prompt templates, verbalizers and soft prompts for frozen language models."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softcloze.automatic import AutoPromptClassifier as AutoPromptClassifier
    from softcloze.backbone import Backbone as Backbone
    from softcloze.backbone import load_backbone as load_backbone
    from softcloze.batch import BatchScorer as BatchScorer
    from softcloze.classifiers import MultiLabelPromptClassifier as MultiLabelPromptClassifier
    from softcloze.classifiers import MultiTaskPrompt as MultiTaskPrompt
    from softcloze.classifiers import ProbeClassifier as ProbeClassifier
    from softcloze.classifiers import PromptClassifier as PromptClassifier
    from softcloze.classifiers import PromptEnsemble as PromptEnsemble
    from softcloze.classifiers import PromptGenerator as PromptGenerator
    from softcloze.classifiers import predict_stream as predict_stream
    from softcloze.errors import SoftclozeError as SoftclozeError
    from softcloze.errors import TemplateSyntaxError as TemplateSyntaxError
    from softcloze.experiments import Comparison as Comparison
    from softcloze.experiments import Protocol as Protocol
    from softcloze.experiments import compare as compare
    from softcloze.label_words import refine_words as refine_words
    from softcloze.label_words import search_label_words as search_label_words
    from softcloze.labelling import Labeller as Labeller
    from softcloze.prompt import Prompt as Prompt
    from softcloze.prompt import PromptSet as PromptSet
    from softcloze.prompt import combine as combine
    from softcloze.template import Template as Template
    from softcloze.training import TrainingSettings as TrainingSettings
    from softcloze.verbalizer import FieldVerbalizer as FieldVerbalizer
    from softcloze.verbalizer import OrdinalVerbalizer as OrdinalVerbalizer
    from softcloze.verbalizer import RuleVerbalizer as RuleVerbalizer
    from softcloze.verbalizer import Verbalizer as Verbalizer

_HOMES = {
    "AutoPromptClassifier": "softcloze.automatic",
    "Backbone": "softcloze.backbone",
    "BatchScorer": "softcloze.batch",
    "Comparison": "softcloze.experiments",
    "FieldVerbalizer": "softcloze.verbalizer",
    "Labeller": "softcloze.labelling",
    "MultiLabelPromptClassifier": "softcloze.classifiers",
    "OrdinalVerbalizer": "softcloze.verbalizer",
    "MultiTaskPrompt": "softcloze.classifiers",
    "ProbeClassifier": "softcloze.classifiers",
    "Prompt": "softcloze.prompt",
    "PromptClassifier": "softcloze.classifiers",
    "PromptEnsemble": "softcloze.classifiers",
    "PromptGenerator": "softcloze.classifiers",
    "PromptSet": "softcloze.prompt",
    "Protocol": "softcloze.experiments",
    "RuleVerbalizer": "softcloze.verbalizer",
    "SoftclozeError": "softcloze.errors",
    "Template": "softcloze.template",
    "TemplateSyntaxError": "softcloze.errors",
    "TrainingSettings": "softcloze.training",
    "Verbalizer": "softcloze.verbalizer",
    "combine": "softcloze.prompt",
    "compare": "softcloze.experiments",
    "load_backbone": "softcloze.backbone",
    "predict_stream": "softcloze.classifiers",
    "refine_words": "softcloze.label_words",
    "search_label_words": "softcloze.label_words",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Import public names when they are asked for: `softcloze --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'softcloze' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
