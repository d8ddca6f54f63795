"""Label words, and how their scores become label scores."""

from typing import TypeAlias

from softcloze.verbalizer.ordinal import OrdinalVerbalizer
from softcloze.verbalizer.rules import RuleVerbalizer
from softcloze.verbalizer.verbalizer import Fill, Label, Verbalizer, Words

AnyVerbalizer: TypeAlias = Verbalizer | RuleVerbalizer

KINDS: dict[str, type[AnyVerbalizer]] = {
    "words": Verbalizer,
    "ordinal": OrdinalVerbalizer,
    "rules": RuleVerbalizer,
}
"""The classes of verbalizers, by the names under which saved prompts know them."""


__all__ = ["KINDS", "AnyVerbalizer", "Fill", "Label", "OrdinalVerbalizer", "RuleVerbalizer", "Verbalizer", "Words"]
