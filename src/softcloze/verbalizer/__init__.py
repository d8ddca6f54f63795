"""Label words, and how their scores become label scores."""

from softcloze.verbalizer.verbalizer import Fill, Label, Verbalizer, VerbalizerError, Words

__all__ = ["Fill", "Label", "Verbalizer", "VerbalizerError", "Words"]
