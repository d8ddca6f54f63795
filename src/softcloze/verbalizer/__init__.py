"""Label words, and how their scores become label scores."""

from softcloze.verbalizer.verbalizer import Label, Verbalizer, VerbalizerError, Words

__all__ = ["Label", "Verbalizer", "VerbalizerError", "Words"]
