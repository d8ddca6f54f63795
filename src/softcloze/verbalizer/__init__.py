"""Label words, and the aggregation of their scores to label scores."""

from typing import TypeAlias

from softcloze.verbalizer.ordinal import OrdinalVerbalizer
from softcloze.verbalizer.rules import RuleVerbalizer
from softcloze.verbalizer.verbalizer import Decoding, Label, Verbalizer, Words

AnyVerbalizer: TypeAlias = Verbalizer | RuleVerbalizer

KINDS: dict[str, type[AnyVerbalizer]] = {
    "words": Verbalizer,
    "ordinal": OrdinalVerbalizer,
    "rules": RuleVerbalizer,
}
"""Verbalizer classes by their names in saved prompts."""


__all__ = ["KINDS", "AnyVerbalizer", "Decoding", "Label", "OrdinalVerbalizer", "RuleVerbalizer", "Verbalizer", "Words"]
