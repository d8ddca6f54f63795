"""Label words from the names of labels, as words or by tables of the library for like labels, and their language."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from softcloze.data import are_words
from softcloze.data.examples import normalise
from softcloze.errors import VerbalizerError
from softcloze.library import list_verbalizers, load_verbalizer
from softcloze.library.cards import VerbalizerCard
from softcloze.verbalizer import Label, Verbalizer, Words

ABBREVIATIONS = {"pos": "positive", "neg": "negative", "neu": "neutral"}


def split_name(label: Label) -> str:
    """The words of a label's name, which may be written as an identifier.

    >>> split_name("cardLost_or-stolen"), split_name("FAQ"), split_name("消极"), split_name(3)
    ('card lost or stolen', 'FAQ', '消极', '3')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(label))
    return " ".join(word if word.isupper() else word.lower() for word in re.split(r"[\s_\-/.:|]+", words) if word)


def name_verbalizer(labels: Sequence[Label], class_names: Mapping[Label, str] | None = None) -> Verbalizer | None:
    """The names of labels as their words; None where names say nothing, such as numbers, or two are the same.

    Args:
        labels: the labels.
        class_names: names of labels that are numbers, as a dataset brings them; other labels are their own names.

    >>> name_verbalizer(["cardLost", "fees"]).label_words()
    {'cardLost': ['card lost'], 'fees': ['fees']}
    >>> name_verbalizer([0, 1]) is None
    True
    """
    names = {label: split_name((class_names or {}).get(label, label)) for label in labels}
    if not are_words([*names.values()]):
        return None
    try:
        return Verbalizer(names)
    except VerbalizerError:
        return None


def like_tables(
    labels: Sequence[Label], language: str, class_names: Mapping[Label, str] | None = None
) -> dict[str, Verbalizer]:
    """Label words of the library for tasks that have labels of these names, by the name of their table.

    A name matches a label of a table by the label's name or by one of its words, in either language: "积极" is
    "positive". At least two of the labels, and half of them, have to match, each another one; the others, such as
    "neutral" beside "positive" and "negative", have their own names as words.

    Args:
        labels: the labels.
        language: of the words, as an ISO 639-1 code.
        class_names: as for `name_verbalizer`.

    >>> like_tables(["消极", "积极"], "zh")["sentiment/zh"].label_words()
    {'消极': ['失望'], '积极': ['满意']}
    """
    names = [normalise(split_name((class_names or {}).get(label, label))) for label in labels]
    names = [ABBREVIATIONS.get(name, name) for name in names]
    tables, verbalizers = [load_verbalizer(name) for name in list_verbalizers()], {}
    for table in tables:
        if table.language != language:
            continue
        known = _known_names([other for other in tables if other.task == table.task])
        matches = {label: known[name] for label, name in zip(labels, names, strict=True) if name in known}
        if len(matches) < max(2, len(labels) / 2):
            continue
        words: dict[Label, Words] = {
            label: table.words[matches[label]] if label in matches else name
            for label, name in zip(labels, names, strict=True)
        }
        with suppress(VerbalizerError):  # two labels match the same one
            verbalizers[table.name] = Verbalizer(words, table.aggregation, table.length_norm)
    return verbalizers


def language_of(texts: Sequence[str]) -> str:
    """The language of texts: "zh" if more than a fifth of their letters are Chinese, else "en".

    >>> language_of(["物流很快", "nice"]), language_of(["a review"])
    ('zh', 'en')
    """
    letters = [letter for text in texts for letter in text[:1000] if letter.isalpha()]
    chinese = sum("\u3400" <= letter <= "\u9fff" for letter in letters)
    return "zh" if chinese > len(letters) / 5 else "en"


def _known_names(tables: Sequence[VerbalizerCard]) -> dict[str, str]:
    """The label for each name and each word that the tables of a task have for it alone."""
    labels: dict[str, set[str]] = {}
    for table in tables:
        for label, words in table.words.items():
            for name in (label, *words):
                labels.setdefault(normalise(name), set()).add(label)
    return {name: next(iter(of_name)) for name, of_name in labels.items() if len(of_name) == 1}
