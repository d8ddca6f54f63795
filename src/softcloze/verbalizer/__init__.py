"""Label words, and how their scores become label scores."""

from softcloze.verbalizer.kinds import as_card, from_card
from softcloze.verbalizer.ordinal import OrdinalVerbalizer
from softcloze.verbalizer.verbalizer import Fill, Label, Verbalizer, VerbalizerError, Words

__all__ = ["Fill", "Label", "OrdinalVerbalizer", "Verbalizer", "VerbalizerError", "Words", "as_card", "from_card"]
