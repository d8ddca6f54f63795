"""Checks of the texts, labels and answers of a labelling."""

import json
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

from softcloze.data import Example, as_labels
from softcloze.data.labels import check_spellings
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import did_you_mean, quoted, quoted_list
from softcloze.library import resolve_mask_template
from softcloze.parameters import TEXT, integer, validate_parameters
from softcloze.template import Template
from softcloze.verbalizer import Label, Words, as_label


def validate_texts(texts: Sequence[Example], held_out: int) -> None:
    """Raise DataError for fewer than two texts, ParameterError for too many that are held out."""
    if len(texts) < 2:
        raise DataError(f"labelling takes at least two texts, found {len(texts)}")
    if held_out > len(texts) // 2:
        raise ParameterError(f"held_out is {held_out}; expected at most half of the {len(texts)} texts")


def validate_first_labels(labels: Sequence[Label] | Mapping[Label, Words]) -> None:
    """Raise DataError for too few labels, or one that is given twice, is none, or is like another one."""
    given = [] if isinstance(labels, str) else as_labels([*labels])
    if len({*given}) < 2:
        raise DataError(f"labels is {quoted(labels)}; expected at least two, as in ['billing', 'delivery']")
    if len({*given}) < len(given):
        raise DataError(f"labels is {quoted(labels)}; expected each label once")
    validate_labels(given)


def validate_labels(labels: Sequence[Label]) -> None:
    """Raise DataError for a label that is none, or is like another one."""
    as_labels(labels)
    for _, problem in check_spellings(labels):
        raise DataError(problem.replace(" in another row: write them alike", " already: give it another name"))


def hard_template(template: str | Template) -> Template:
    """A template without soft slots and demonstrations, with one mask; raises ParameterError for others."""
    resolved = resolve_mask_template(template)
    if resolved.blocks or resolved.demos is not None or len(resolved.masks) != 1:
        raise ParameterError(
            f"template is {str(resolved)!r}; expected a hard template with one mask, without <soft> and <demos>: "
            "nothing is trained but a head"
        )
    return resolved


def digest_of(texts: Sequence[Example]) -> str:
    """A checksum of all texts, in their order."""
    try:
        text = json.dumps(texts, sort_keys=True, default=str)
    except TypeError:  # keys of several types, which have no order
        text = json.dumps(texts, default=str)
    return sha256(text.encode()).hexdigest()


def plain_text(parameter: str, value: str) -> str:
    """A name or a note as plain text; raises ParameterError for what is no text."""
    validate_parameters({parameter: value}, {parameter: TEXT})
    return str.__str__(value)


def plain_index(index: int, texts: int) -> int:
    """The index of a text as a plain number; raises ParameterError for others."""
    validate_parameters({"index": index}, {"index": integer(at_least=0)})
    if index >= texts:
        raise ParameterError(f"index is {index}; expected one of the {texts} texts, counted from 0")
    return int(index)


def labels_of_answer(label: Label | Collection[Label], known: Sequence[Label], *, multi_label: bool) -> list[Label]:
    """The labels of an answer, each once; raises ParameterError for one that is not among the known labels."""
    several = not isinstance(label, str | bytes) and isinstance(label, Collection)
    if several != multi_label:
        expected = 'a collection of labels, as in ["a", "b"]' if multi_label else "one label"
        raise ParameterError(f"label is {quoted(label)}; expected {expected}")
    given: list[Label] = []
    for one in label if isinstance(label, Collection) and several else [label]:
        given.append(plain_label(one, known))
    return [*dict.fromkeys(given)]


def plain_label(label: object, known: Sequence[Label]) -> Label:
    """The known label that this one is; raises ParameterError if there is none."""
    try:
        plain = as_label(label)
    except DataError as error:
        raise ParameterError(str(error)) from error
    if plain not in known:
        raise ParameterError(
            f"there is no label {quoted(plain)}, and the labels are [{quoted_list(known)}]"
            f"{did_you_mean(str(plain), map(str, known))}; add_label adds one"
        )
    return known[known.index(plain)]
