"""scikit-learn estimators that predict and write with prompts."""

from softcloze.classifiers.ensemble import PromptEnsemble
from softcloze.classifiers.ensemble_members import bound_prompts
from softcloze.classifiers.generator import PromptGenerator
from softcloze.classifiers.multilabel import MultiLabelPromptClassifier
from softcloze.classifiers.multitask import MultiTaskPrompt
from softcloze.classifiers.probe import ProbeClassifier
from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.classifiers.start import seed_of
from softcloze.classifiers.streaming import predict_stream, write_stream
from softcloze.prompt.streaming import Prediction, WrittenRow

__all__ = [
    "MultiLabelPromptClassifier",
    "MultiTaskPrompt",
    "Prediction",
    "ProbeClassifier",
    "PromptClassifier",
    "PromptEnsemble",
    "PromptGenerator",
    "WrittenRow",
    "bound_prompts",
    "predict_stream",
    "seed_of",
    "write_stream",
]
