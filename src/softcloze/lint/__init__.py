"""Lint templates and label words before a model is used."""

from softcloze.lint.finding import Finding
from softcloze.lint.verbalizer import CheckedWord, VerbalizerCheck, check_verbalizer, with_priors

__all__ = ["CheckedWord", "Finding", "VerbalizerCheck", "check_verbalizer", "with_priors"]
