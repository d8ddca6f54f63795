"""The labelled rows of an automatic choice, validated."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softcloze.automatic.proposals import text_template
from softcloze.classifiers.base import read_examples
from softcloze.data import (
    ClassWeight,
    Example,
    as_examples,
    as_labels,
    example_weights,
    label_indices,
    label_verbalizer,
    validate_lengths,
    validate_several,
    validate_spellings,
    weighted_rows,
)
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import quoted_list
from softcloze.library import resolve_verbalizer
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer, Label, Verbalizer, Words


class Rows(NamedTuple):
    """Labelled rows.

    Attributes:
        examples: the examples whose weight is not 0.
        targets: index of the label of each, shape (examples,).
        weights: of the examples, with mean 1, shape (examples,).
        classes: the labels, sorted.
        verbalizer: label words given by the user, for these labels; None for none.
    """

    examples: list[Example]
    targets: NDArray[np.int_]
    weights: NDArray[np.float64]
    classes: Sequence[Label]
    verbalizer: AnyVerbalizer | None


def read_rows(
    X: Iterable[Example],
    y: Iterable[Label],
    sample_weight: Iterable[float] | None,
    *,
    templates: Sequence[Template],
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None,
    class_weight: ClassWeight | None,
) -> Rows:
    """Read labelled rows that templates of the user, and one of all fields, can show; arguments as of a fit.

    Raises:
        ParameterError: a template has soft slots, demonstrations or not one mask.
        DataError: examples and labels that do not fit each other, or a label with a single example.
        SoftclozeError: as `PromptClassifier.fit`.
    """
    for template in templates:
        _validate_hard(template)
    examples = as_examples(X, ["text"])
    if not examples:
        raise DataError("fit needs at least one example, found none")
    bare = text_template(examples)
    for template in (bare, *templates):
        read_examples(examples, template)
    bare.validate_varied(examples)
    labels = as_labels(y)
    validate_lengths(examples, labels)
    given = resolve_verbalizer(verbalizer)
    if given is None:
        validate_spellings(labels, y)
    used, row_weights = weighted_rows(sample_weight, examples)
    examples, labels = [examples[i] for i in used], [labels[i] for i in used]
    validate_several(labels)
    if given is not None:
        given = label_verbalizer(given, labels, y)
    classes = given.labels if given is not None else Verbalizer({label: str(label) for label in labels}).labels
    targets = np.array(label_indices(labels, classes))
    _validate_counts(classes, targets)
    weights = example_weights(class_weight, classes, np.eye(len(classes))[targets], row_weights)
    return Rows(examples, targets, weights if weights is not None else np.ones(len(targets)), classes, given)


def is_templates(value: object) -> bool:
    """Return True for a list of templates or their texts."""
    return (
        isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(t, str | Template) for t in value)
    )


def _validate_hard(template: Template) -> None:
    """Raise ParameterError if a template of the user's has soft slots, demonstrations, or not one mask."""
    if template.blocks or template.demos is not None or len(template.masks) != 1:
        raise ParameterError(
            f"templates has {str(template)!r}; expected hard templates with one mask, without <soft> and <demos>: soft "
            "prompts are tried at the best of them"
        )


def _validate_counts(classes: Sequence[Label], targets: NDArray[np.int_]) -> None:
    """Raise DataError if a label has a single example."""
    counts = np.bincount(targets, minlength=len(classes)).tolist()
    if sparse := [label for label, count in zip(classes, counts, strict=True) if count < 2]:
        raise DataError(
            f"{quoted_list(sparse)} {'has' if len(sparse) == 1 else 'have'} fewer than two examples, and every way is "
            "judged by examples that it did not learn from; give at least two of each label, or leave such labels out"
        )
