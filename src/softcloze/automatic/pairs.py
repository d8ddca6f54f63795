"""Templates of the library with label words, for labels whose names its tables know and for labels without names."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

from softcloze.label_words.unnamed import scale_words
from softcloze.library import list_templates, load_template, load_verbalizer
from softcloze.library.cards import TemplateCard
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer, Label, Verbalizer

Order = Mapping[Label, Label]

GRADED = "sentiment"  # the task of the library that grades texts
MOST_ARRANGED = 3  # labels whose words the examples put in any order; of more there are too many orders


class Pair(NamedTuple):
    """A template and label words for it; None for words that only name the labels.

    Attributes:
        template: a hard template with one mask.
        verbalizer: the label words.
        orders: as for `Proposal`.
    """

    template: Template
    verbalizer: AnyVerbalizer | None = None
    orders: tuple[Order, ...] = ()


def library_pairs(similar: Mapping[str, Verbalizer], fields: Sequence[str], language: str) -> list[Pair]:
    """Hard templates of the library for the tasks of these tables, each with its own table or the first of its task."""
    of_task: dict[str, Verbalizer] = {}
    for name, verbalizer in similar.items():
        of_task.setdefault(name.split("/")[0], verbalizer)
    return [
        Pair(card.template, similar.get(card.verbalizer, of_task[card.task]))
        for card in _cards(fields, language)
        if card.task in of_task
    ]


def grade_pairs(order: Sequence[Label], fields: Sequence[str], language: str) -> list[Pair]:
    """Templates that grade a text, with words of a scale for labels in this order, or in the reverse one."""
    cards = [card for card in _cards(fields, language) if card.task == GRADED]
    if len(order) == 2:
        return [_table_pair(card, order) for card in cards]
    return [Pair(card.template, scale_words(order, language), directions(order)) for card in cards]


def task_pairs(order: Sequence[Label], fields: Sequence[str], language: str, chat: bool) -> list[Pair]:
    """A template of each other task, with the words of its table if it has as many labels, and they are few.

    Args:
        order: the labels.
        fields: of the examples.
        language: of the templates.
        chat: prefer templates with chat turns.
    """
    first: dict[str, TemplateCard] = {}
    for card in sorted(_cards(fields, language), key=lambda card: bool(card.template.turns) != chat):
        first.setdefault(card.task, card)
    return [_table_pair(card, order) for task, card in sorted(first.items()) if task != GRADED]


def directions(order: Sequence[Label]) -> tuple[Order, Order]:
    """The order and its reverse, as for `Proposal.orders`.

    >>> directions([1, 2, 3])
    ({1: 1, 2: 2, 3: 3}, {1: 3, 2: 2, 3: 1})
    """
    return {label: label for label in order}, dict(zip(order, reversed(order), strict=True))


def _table_pair(card: TemplateCard, order: Sequence[Label]) -> Pair:
    """A template of the library, with the words of its table in any order if it has as many labels, and few."""
    table = load_verbalizer(card.verbalizer)
    if not len(table.words) == len(order) <= MOST_ARRANGED:
        return Pair(card.template)
    words = Verbalizer(dict(zip(order, table.words.values(), strict=True)), table.aggregation, table.length_norm)
    return Pair(card.template, words, tuple(dict(zip(order, new, strict=True)) for new in permutations(order)))


def _cards(fields: Sequence[str], language: str) -> list[TemplateCard]:
    """Hard templates of the library in this language, for examples with these fields."""
    cards = [load_template(name) for name in list_templates()]
    return [card for card in cards if card.language == language and card.kind == "hard" and [*card.fields] == [*fields]]
