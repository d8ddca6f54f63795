"""Label words, and the aggregation of their scores to label scores."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from softcloze.verbalizer.choices import FieldVerbalizer
from softcloze.verbalizer.labels import Label, as_label, validate_one_kind
from softcloze.verbalizer.ordinal import OrdinalVerbalizer
from softcloze.verbalizer.rules import RuleVerbalizer
from softcloze.verbalizer.verbalizer import Decoding, Verbalizer, Words

AnyVerbalizer: TypeAlias = Verbalizer | RuleVerbalizer | FieldVerbalizer

VERBALIZERS: dict[str, type[AnyVerbalizer]] = {
    "words": Verbalizer,
    "ordinal": OrdinalVerbalizer,
    "rules": RuleVerbalizer,
    "field": FieldVerbalizer,
}
"""Verbalizer classes by their names in saved prompts."""


def from_dict(data: Mapping[str, Any]) -> AnyVerbalizer:
    """Build a verbalizer from the data of its `to_dict` and its "kind", a name in `VERBALIZERS`."""
    return VERBALIZERS[data["kind"]].from_dict(data)


__all__ = [
    "VERBALIZERS",
    "AnyVerbalizer",
    "Decoding",
    "FieldVerbalizer",
    "Label",
    "OrdinalVerbalizer",
    "RuleVerbalizer",
    "Verbalizer",
    "Words",
    "as_label",
    "from_dict",
    "validate_one_kind",
]
