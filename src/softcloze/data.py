"""Examples, labels, splits and few-shot samples."""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from softcloze.errors import DataError, ParameterError
from softcloze.formatting import did_you_mean
from softcloze.verbalizer import AnyVerbalizer, Label

Example: TypeAlias = str | Mapping[str, object]
"""The text of the only field, or field name -> value."""


def as_examples(X: Iterable[Example]) -> list[Example]:
    """Examples from what people keep them in.

    Raises:
        DataError: `X` is one text, or a matrix of numbers.

    >>> as_examples(np.array(["good", "bad"]))
    ['good', 'bad']
    """
    return list(iterate_examples(X))


def iterate_examples(X: Iterable[Example]) -> Iterator[Example]:
    """The same one after the other, no sooner than they are asked for.

    Raises:
        DataError: `X` is one text, or a matrix of numbers.

    >>> next(iterate_examples(text for text in ["good", "bad"]))
    'good'
    """
    if isinstance(X, str | bytes | Mapping) or not isinstance(X, Iterable):
        raise DataError(f"X has to be a list of texts or of mappings, got one {type(X).__name__}: {X!r:.60}")
    if hasattr(X, "columns") and hasattr(X, "to_dict"):  # a pandas frame; pandas itself is not needed
        return iter(X.to_dict("records"))
    if isinstance(X, np.ndarray):
        if X.ndim != 1:
            raise DataError(f"X has shape {X.shape}; expected one text per example, shape (examples,)")
        return iter(X.tolist())
    return iter(X)


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


def as_probabilities(probabilities: np.ndarray, examples: int, verbalizer: AnyVerbalizer) -> Tensor:
    """Probabilities of labels to train on, shape (examples, labels), in float32.

    Raises:
        DataError: there are no examples, or the probabilities have another shape, are negative or do not sum to 1.

    >>> from softcloze import Verbalizer
    >>> as_probabilities(np.array([[0.25, 0.75]]), 1, Verbalizer({"积极": "好", "消极": "差"}))
    tensor([[0.2500, 0.7500]])
    """
    values, expected = np.asarray(probabilities, dtype=float), (examples, len(verbalizer.labels))
    if values.shape != expected or not examples:
        raise DataError(
            f"the probabilities have shape {values.shape}; expected {expected}: a row for each of one or more examples "
            f"and a column for each of {list(verbalizer.labels)}, in this order"
        )
    wrong = np.flatnonzero(~((values >= 0).all(1) & np.isclose(values.sum(1), 1, atol=1e-4)))
    if len(wrong):
        raise DataError(f"row {wrong[0]} of the probabilities is {values[wrong[0]].tolist()}, which do not sum to 1")
    return torch.tensor(values, dtype=torch.float32)


def as_indicators(y: Iterable[object], verbalizer: AnyVerbalizer) -> np.ndarray:
    """Which labels each example has, shape (examples, labels), 1.0 or 0.0 in the order of `verbalizer.labels`.

    Args:
        y: a collection of labels for each example, or scikit-learn's indicator matrix (an array, a sparse matrix, or
            a pandas frame whose columns are the labels).
        verbalizer: names the labels.

    Raises:
        DataError: a label without words, a matrix of another shape or with other numbers than 0 and 1.

    >>> from softcloze import Verbalizer
    >>> as_indicators([{"cars", "space"}, []], Verbalizer({"space": "space", "cars": "cars"}))
    array([[1., 1.],
           [0., 0.]])
    """
    labels = verbalizer.labels
    if hasattr(y, "toarray"):
        y = y.toarray()
    if hasattr(y, "columns") and hasattr(y, "reindex"):
        if set(y.columns) != set(labels):
            raise DataError(f"y has the columns {list(y.columns)}, the verbalizer the labels {list(labels)}")
        y = y.reindex(columns=list(labels)).to_numpy()
    if isinstance(y, np.ndarray) and y.ndim == 2:
        if y.shape[1] != len(labels) or not np.isin(y, (0, 1)).all():
            raise DataError(
                f"y has shape {y.shape}; expected a column of 0 and 1 for each of {list(labels)}, in this order"
            )
        return y.astype(float)
    index = {label: i for i, label in enumerate(labels)}
    rows = list(y)
    matrix = np.zeros((len(rows), len(labels)))
    for row, own in enumerate(rows):
        if isinstance(own, str) or not isinstance(own, Iterable):
            raise DataError(f"row {row} of y is {own!r}; expected a collection of labels, as in ['space', 'cars']")
        for label in own:
            if label not in index:
                raise DataError(
                    f"row {row} has label {label!r}, which the verbalizer does not name; it has {list(index)}"
                    f"{did_you_mean(str(label), map(str, index))}"
                )
            matrix[row, index[label]] = 1
    return matrix


_TEST_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts and their labels, row by row."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, str]]) -> Self:
        """Examples of rows of text and label."""
        rows = list(rows)
        return cls(tuple(text for text, _ in rows), tuple(label for _, label in rows))


@dataclass(frozen=True, slots=True)
class Split:
    """A data set's training and test rows, both in an order as good as random.

    The test set holds as many rows of each label, and so do its first n rows when n is a multiple
    of the number of labels.
    """

    train: Examples
    test: Examples


def normalise(text: str) -> str:
    """What two spellings of one text have in common.

    >>> normalise("  ＡBC   Def ")
    'abc def'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_rows(rows: Iterable[tuple[str, str]]) -> Split:
    """Clean rows of text and label and part them.

    White space around a text goes, and so do empty texts and repetitions. A text that has two
    labels goes altogether. Rows whose hash falls in the lowest 30 % are for testing; the largest
    labels give up rows there until all have equally many.

    >>> split = split_rows((f"text {n}", "odd" if n % 2 else "even") for n in [*range(100), *range(100)])
    >>> len(split.train), split.test.labels[:4], len(split.test)
    (71, ('even', 'odd', 'even', 'odd'), 28)
    """
    kept: dict[str, tuple[str, str]] = {}
    disputed = set()
    for raw, label in rows:
        text = raw.strip()
        key = normalise(text)
        if not key:
            continue
        if kept.setdefault(key, (text, label))[1] != label:
            disputed.add(key)

    train: list[tuple[str, str]] = []
    test: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for digest, key in sorted((hashlib.sha256(key.encode()).digest(), key) for key in kept if key not in disputed):
        text, label = kept[key]
        if int.from_bytes(digest[:8], "big") < _TEST_SHARE * 2**64:
            test[label].append((text, label))
        else:
            train.append((text, label))
    turns = zip(*(test[label] for label in sorted(test)), strict=False)  # stops with the smallest label
    return Split(Examples.from_rows(train), Examples.from_rows(row for turn in turns for row in turn))


def few_shot(labels: Sequence[Label], shots: int, random_state: int) -> list[int]:
    """Draw rows without replacement, as many of each class.

    Args:
        labels: the label of each row.
        shots: rows to draw of each class.
        random_state: seed of a generator of its own; the same one gives the same rows.

    Returns:
        Indices of the drawn rows, ascending.

    Raises:
        ParameterError: a class has fewer rows, or `shots` is less than 1.

    >>> few_shot(["good", "bad", "good", "bad", "good"], shots=1, random_state=0)
    [2, 3]
    """
    if shots < 1:
        raise ParameterError(f"shots={shots}, but it has to be at least 1")
    rows_of: dict[Label, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows_of[label].append(row)
    short = {label: len(rows) for label, rows in sorted(rows_of.items()) if len(rows) < shots}
    if short:
        found = ", ".join(f"{label!r} has {count}" for label, count in short.items())
        raise ParameterError(f"{shots} rows of each class are wanted, but {found}; ask for fewer or bring more")
    generator = np.random.default_rng(random_state)
    drawn = [row for _, rows in sorted(rows_of.items()) for row in generator.choice(rows, shots, replace=False)]
    return sorted(map(int, drawn))
