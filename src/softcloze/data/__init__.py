"""Examples, labels, splits and few-shot samples."""

from softcloze.data.examples import Example, as_examples, iterate_examples, normalise, row_name, shown_fields
from softcloze.data.labels import (
    are_words,
    as_indicators,
    as_labels,
    as_probabilities,
    class_names,
    label_indices,
    label_verbalizer,
    validate_lengths,
    validate_several,
    validate_spellings,
)
from softcloze.data.splits import Examples, Split, few_shot, split_rows
from softcloze.data.weights import (
    CLASS_WEIGHT,
    ClassWeight,
    as_sample_weight,
    example_weights,
    indicator_weights,
    mean_one,
    weighted_rows,
)

__all__ = [
    "CLASS_WEIGHT",
    "ClassWeight",
    "Example",
    "Examples",
    "Split",
    "are_words",
    "as_examples",
    "as_indicators",
    "as_labels",
    "as_probabilities",
    "as_sample_weight",
    "class_names",
    "example_weights",
    "few_shot",
    "indicator_weights",
    "iterate_examples",
    "label_indices",
    "label_verbalizer",
    "mean_one",
    "normalise",
    "row_name",
    "shown_fields",
    "split_rows",
    "validate_lengths",
    "validate_several",
    "validate_spellings",
    "weighted_rows",
]
