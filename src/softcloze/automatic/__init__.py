"""Automatic choice of template, label words and head by cross-validation."""

from softcloze.automatic.classifier import AutoPromptClassifier
from softcloze.automatic.trials_table import TrialRecord, Trials

__all__ = ["AutoPromptClassifier", "TrialRecord", "Trials"]
