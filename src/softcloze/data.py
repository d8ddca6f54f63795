"""Examples, labels, splits and few-shot samples."""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from softcloze.errors import DataError, ParameterError
from softcloze.formatting import did_you_mean, quoted
from softcloze.verbalizer import AnyVerbalizer, Label

if TYPE_CHECKING:
    from torch import Tensor

Example: TypeAlias = str | Mapping[str, object]
"""The text of the only field, or a mapping from field names to values."""


def as_examples(X: Iterable[Example]) -> list[Example]:
    """Convert a collection, a one-dimensional array or a data frame to a list of examples.

    Raises:
        DataError: `X` is a single text, a single example or a matrix.

    >>> as_examples(np.array(["good", "bad"]))
    ['good', 'bad']
    """
    return list(iterate_examples(X))


def iterate_examples(X: Iterable[Example]) -> Iterator[Example]:
    """Iterate lazily over the examples of `X`; otherwise as `as_examples`.

    >>> next(iterate_examples(text for text in ["good", "bad"]))
    'good'
    """
    if isinstance(X, str | bytes | Mapping) or not isinstance(X, Iterable):
        raise DataError(f"X has to be a list of texts or of mappings, got one {type(X).__name__}: {quoted(X, 60)}")
    if hasattr(X, "columns") and hasattr(X, "to_dict"):  # a pandas frame, without importing pandas
        return iter(X.to_dict("records"))
    if isinstance(X, np.ndarray):
        if X.ndim != 1:
            raise DataError(f"X has shape {X.shape}; expected one text per example, shape (examples,)")
        return iter(X.tolist())
    return iter(X)


def as_labels(y: Iterable[Label]) -> list[Label]:
    """Convert labels to plain Python values.

    Raises:
        DataError: `y` is not one-dimensional, or its values are neither text nor whole numbers.

    >>> as_labels(np.array([1, 0]))
    [1, 0]
    """
    values = np.asarray(list(y))
    if values.ndim != 1:
        raise DataError(f"y has shape {values.shape}; expected one label per example, shape (examples,)")
    if values.dtype.kind not in "OUiub":
        raise DataError(f"y holds {values.dtype} values; labels are str or int")
    return list(values.tolist())


def validate_lengths(X: Sized, y: Sized) -> None:
    """Raise if `X` and `y` differ in length.

    Raises:
        DataError: they differ; gives both lengths.

    >>> validate_lengths(["good", "bad"], [1, 0])
    """
    if len(X) != len(y):
        raise DataError(f"X has {len(X)} examples but y has {len(y)} labels")


def label_indices(labels: Sequence[Label], verbalizer: AnyVerbalizer) -> list[int]:
    """The index of each label among `verbalizer.labels`.

    Raises:
        DataError: the verbalizer lacks a label, or all labels are the same.
    """
    index = {label: i for i, label in enumerate(verbalizer.labels)}
    indices = [_index_of(label, index, row) for row, label in enumerate(labels)]
    if len(set(labels)) < 2:
        raise DataError(f"y holds only the label {labels[0]!r}; fitting takes examples of at least two labels")
    return indices


def _index_of(label: Label, index: Mapping[Label, int], row: int) -> int:
    if label not in index:
        raise DataError(
            f"row {row} has label {label!r}, which the verbalizer does not name; it has {list(index)}"
            f"{did_you_mean(str(label), map(str, index))}"
        )
    return index[label]


def as_probabilities(probabilities: np.ndarray, examples: int, verbalizer: AnyVerbalizer) -> "Tensor":
    """Validate label probabilities for training and convert them to float32, shape (examples, labels).

    Raises:
        DataError: `examples` is 0, or the probabilities have another shape, are negative or do not sum to 1.

    >>> from softcloze import Verbalizer
    >>> as_probabilities(np.array([[0.25, 0.75]]), 1, Verbalizer({"积极": "好", "消极": "差"}))
    tensor([[0.2500, 0.7500]])
    """
    import torch

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
    """Convert several labels an example to an indicator matrix of 1.0 and 0.0, shape (examples, labels).

    Args:
        y: a collection of labels for each example, or scikit-learn's indicator matrix (an array, a sparse matrix, or
            a pandas frame whose columns are the labels).
        verbalizer: its labels are the columns, in order.

    Raises:
        DataError: the verbalizer lacks a label, or the matrix has another shape or values other than 0 and 1.

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
    for row, labels_of_row in enumerate(rows):
        if isinstance(labels_of_row, str) or not isinstance(labels_of_row, Iterable):
            raise DataError(
                f"row {row} of y is {labels_of_row!r}; expected a collection of labels, as in ['space', 'cars']"
            )
        for label in labels_of_row:
            matrix[row, _index_of(label, index, row)] = 1
    return matrix


_TEST_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts and the label of each."""

    texts: tuple[str, ...]
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, str]]) -> Self:
        """Build from (text, label) pairs."""
        rows = list(rows)
        return cls(tuple(text for text, _ in rows), tuple(label for _, label in rows))


@dataclass(frozen=True, slots=True)
class Split:
    """Training and test rows of a data set, each in pseudo-random order.

    The test set is balanced: it holds equally many rows of each label, and so do its first n rows where n is a
    multiple of the number of labels.
    """

    train: Examples
    test: Examples


def normalise(text: str) -> str:
    """Normalise Unicode form, case and white space, so that spellings of one text compare equal.

    >>> normalise("  ＡBC   Def ")
    'abc def'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_rows(rows: Iterable[tuple[str, str]]) -> Split:
    """Clean (text, label) rows and split them into training and test sets.

    Texts are stripped. Empty texts and duplicates are dropped, and so is every text with two different labels.
    Rows whose hash is in the lowest 30 % go to the test set, where the larger labels lose rows until all labels have
    equally many.

    >>> split = split_rows((f"text {n}", "odd" if n % 2 else "even") for n in [*range(100), *range(100)])
    >>> len(split.train), split.test.labels[:4], len(split.test)
    (71, ('even', 'odd', 'even', 'odd'), 28)
    """
    kept: dict[str, tuple[str, str]] = {}
    ambiguous = set()
    for raw, label in rows:
        text = raw.strip()
        key = normalise(text)
        if not key:
            continue
        if kept.setdefault(key, (text, label))[1] != label:
            ambiguous.add(key)

    train: list[tuple[str, str]] = []
    test: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for digest, key in sorted((hashlib.sha256(key.encode()).digest(), key) for key in kept if key not in ambiguous):
        text, label = kept[key]
        if int.from_bytes(digest[:8], "big") < _TEST_SHARE * 2**64:
            test[label].append((text, label))
        else:
            train.append((text, label))
    turns = zip(*(test[label] for label in sorted(test)), strict=False)  # stops with the smallest label
    return Split(Examples.from_rows(train), Examples.from_rows(row for turn in turns for row in turn))


def few_shot(labels: Sequence[Label], shots: int, random_state: int) -> list[int]:
    """Draw the same number of rows of each class without replacement.

    Args:
        labels: the label of each row.
        shots: rows to draw of each class.
        random_state: seed; equal seeds draw equal rows. The global generator is not used.

    Returns:
        Indices of the drawn rows, ascending.

    Raises:
        ParameterError: a class has fewer rows than `shots`, or `shots` is less than 1.

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
        counts = ", ".join(f"{label!r} has {count}" for label, count in short.items())
        raise ParameterError(f"{shots} rows of each class are wanted, but {counts}; ask for fewer or bring more")
    generator = np.random.default_rng(random_state)
    drawn = [row for _, rows in sorted(rows_of.items()) for row in generator.choice(rows, shots, replace=False)]
    return sorted(map(int, drawn))
