r"""Named templates and label words that ship with softcloze.

>>> card = load_template("sentiment/en")
>>> card.template
Template('Review: <text>\nSentiment: <mask>')
>>> load_verbalizer(card.verbalizer).words
{'positive': ['positive'], 'negative': ['negative']}
"""

from softcloze.library.cards import LibraryError, TemplateCard, VerbalizerCard
from softcloze.library.shelves import (
    list_templates,
    list_verbalizers,
    load_template,
    load_verbalizer,
    resolve_template,
)

__all__ = [
    "LibraryError",
    "TemplateCard",
    "VerbalizerCard",
    "list_templates",
    "list_verbalizers",
    "load_template",
    "load_verbalizer",
    "resolve_template",
]
