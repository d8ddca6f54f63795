"""Lint templates and label words before a model is loaded; imports neither torch nor transformers."""

from softcloze.lint.finding import Finding
from softcloze.lint.linter import lint
from softcloze.lint.verbalizer import CheckedWord, VerbalizerCheck, check_verbalizer, with_priors

__all__ = ["CheckedWord", "Finding", "VerbalizerCheck", "check_verbalizer", "lint", "with_priors"]
