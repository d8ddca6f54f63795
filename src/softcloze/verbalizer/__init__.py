"""Label words, and how their scores become label scores."""

from softcloze.verbalizer.verbalizer import Label, Verbalizer, VerbalizerError

__all__ = ["Label", "Verbalizer", "VerbalizerError"]
