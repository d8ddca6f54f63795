"""Labels whose names say nothing, such as numbers: their order, and words for a scale."""

import re
from collections.abc import Mapping, Sequence

from softcloze.data import are_words
from softcloze.label_words.label_names import split_name
from softcloze.verbalizer import Label, OrdinalVerbalizer, Verbalizer

# answers, the lowest first: they say nothing without their question, which an example does not hold
ANSWERS = [("no", "yes"), ("false", "true"), ("否", "是"), ("假", "真"), ("错", "对")]
# grades of a scale by their number, the lowest first; the Chinese ones may follow 很
GRADES = {
    "en": {
        2: ("negative", "positive"),
        3: ("negative", "neutral", "positive"),
        4: ("terrible", "bad", "good", "great"),
        5: ("terrible", "bad", "okay", "good", "great"),
    },
    "zh": {
        2: ("失望", "满意"),
        3: ("失望", "一般", "满意"),
        4: ("糟糕", "差", "好", "棒"),
        5: ("糟糕", "差", "一般", "好", "棒"),
    },
}
# of more grades the two poles alone have words
POLES = {"en": (["terrible", "bad"], ["great", "good"]), "zh": (["糟糕", "差"], ["棒", "好"])}
MOST_GRADES = 11  # labels of a scale, such as 0 to 10; more are numbers of something else


def unnamed_order(labels: Sequence[Label], class_names: Mapping[Label, str] | None = None) -> list[Label] | None:
    """Labels whose names say nothing, from the lowest to the highest: numbers by their value, other names sorted.

    Args:
        labels: the labels.
        class_names: as for `softcloze.label_words.label_names.name_verbalizer`.

    Returns:
        The order; None if the names are words.

    >>> unnamed_order(["10", "2"]), unnamed_order(["LABEL_1", "LABEL_0"]), unnamed_order(["b", "a"])
    (['2', '10'], ['LABEL_0', 'LABEL_1'], ['a', 'b'])
    >>> unnamed_order(["yes", "no"]), unnamed_order(["good", "bad"])
    (['no', 'yes'], None)
    """
    names = {label: str((class_names or {}).get(label, label)) for label in labels}
    for answers in ANSWERS:
        if sorted(name.casefold() for name in names.values()) == sorted(answers):
            return sorted(names, key=lambda label: answers.index(names[label].casefold()))
    if are_words([split_name(name) for name in names.values()]):
        return None
    numbers = {label: re.findall(r"^-?\d+(?:\.\d+)?|\d+(?:\.\d+)?", name) for label, name in names.items()}
    if all(len(of_label) == 1 for of_label in numbers.values()):
        return sorted(names, key=lambda label: (float(numbers[label][0]), names[label]))
    return sorted(names, key=lambda label: names[label])


def scale_words(order: Sequence[Label], language: str) -> Verbalizer | None:
    """Words for the grades of a scale; None for more labels than a scale has.

    Args:
        order: the labels from the lowest to the highest.
        language: of the words, "en" or "zh".

    >>> scale_words([1, 2, 3], "en").label_words(), scale_words([*range(1, 8)], "zh").label_words()
    ({1: ['negative'], 2: ['neutral'], 3: ['positive']}, {1: ['糟糕', '差'], 7: ['棒', '好']})
    """
    if len(order) in GRADES[language]:
        return Verbalizer(dict(zip(order, GRADES[language][len(order)], strict=True)))
    return OrdinalVerbalizer(order, *POLES[language]) if len(order) <= MOST_GRADES else None
