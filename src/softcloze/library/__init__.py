r"""Named templates and label words that ship with softcloze.

>>> card = load_template("sentiment/en")
>>> card.template
Template('Review: <text>\nSentiment: <mask>')
>>> load_verbalizer(card.verbalizer).words
{'positive': ['positive'], 'negative': ['negative']}
"""

from softcloze.library.cards import TemplateCard, VerbalizerCard
from softcloze.library.lookup import (
    list_templates,
    list_verbalizers,
    load_template,
    load_verbalizer,
    resolve_mask_template,
    resolve_template,
    resolve_verbalizer,
)

__all__ = [
    "TemplateCard",
    "VerbalizerCard",
    "list_templates",
    "list_verbalizers",
    "load_template",
    "load_verbalizer",
    "resolve_mask_template",
    "resolve_template",
    "resolve_verbalizer",
]
