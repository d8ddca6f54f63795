"""Examples and labels from whatever people keep them in."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from softcloze.encoding import Example
from softcloze.errors import SoftclozeError
from softcloze.template import did_you_mean
from softcloze.verbalizer import AnyVerbalizer, Label


class DataError(SoftclozeError, ValueError):
    """Examples or labels that do not fit."""


def as_examples(X: Iterable[Example]) -> list[Example]:
    """Examples from what people keep them in.

    Raises:
        DataError: `X` is one text, or a matrix of numbers.

    >>> as_examples(np.array(["good", "bad"]))
    ['good', 'bad']
    """
    if isinstance(X, str | bytes | Mapping) or not isinstance(X, Iterable):
        raise DataError(f"X has to be a list of texts or of mappings, got one {type(X).__name__}: {X!r:.60}")
    if hasattr(X, "columns") and hasattr(X, "to_dict"):  # a pandas frame; pandas itself is not needed
        return list(X.to_dict("records"))
    if isinstance(X, np.ndarray):
        if X.ndim != 1:
            raise DataError(f"X has shape {X.shape}; expected one text per example, shape (examples,)")
        return list(X.tolist())
    return list(X)


def as_labels(y: Iterable[Label]) -> list[Label]:
    """Labels as plain Python values.

    Raises:
        DataError: they are neither text nor whole numbers, or not one per example.

    >>> as_labels(np.array([1, 0]))
    [1, 0]
    """
    values = np.asarray(list(y))
    if values.ndim != 1:
        raise DataError(f"y has shape {values.shape}; expected one label per example, shape (examples,)")
    if values.dtype.kind not in "OUiub":
        raise DataError(f"y holds {values.dtype} values; labels are str or int")
    return list(values.tolist())


def label_numbers(labels: Sequence[Label], verbalizer: AnyVerbalizer) -> list[int]:
    """The place of each label among those of `verbalizer`.

    Raises:
        DataError: the verbalizer does not name a label, or all are the same.
    """
    index = {label: i for i, label in enumerate(verbalizer.labels)}
    for row, label in enumerate(labels):
        if label not in index:
            raise DataError(
                f"row {row} has label {label!r}, which the verbalizer does not name; it has {list(index)}"
                f"{did_you_mean(str(label), map(str, index))}"
            )
    if len(set(labels)) < 2:
        raise DataError(f"y holds only the label {labels[0]!r}; fitting takes examples of at least two labels")
    return [index[label] for label in labels]
