"""Data sets of texts and labels, their split into training and test rows, and few-shot samples."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Self

import numpy as np

from softcloze.data.examples import normalise
from softcloze.data.labels import as_labels
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import quoted
from softcloze.parameters import integer, validate_parameters
from softcloze.verbalizer import Label

_TEST_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts and the label of each."""

    texts: tuple[str, ...]
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, Label]]) -> Self:
        """Build from (text, label) pairs; labels become plain values.

        Raises:
            DataError: a row is not a pair, its text is not a string, or its label is missing; names the row.

        >>> Examples.from_rows([("很好", 1), ("太差", 0)])
        Examples(texts=('很好', '太差'), labels=(1, 0))
        """
        texts, labels = [], []
        for row, pair in enumerate(rows):
            if isinstance(pair, str | Mapping) or not isinstance(pair, Sized) or len(pair) != 2:
                raise DataError(
                    f"row {row} is {quoted(pair)}; expected a pair of a text and a label, as zip(texts, labels) yields"
                )
            text, label = pair
            if not isinstance(text, str):
                raise DataError(f"row {row} has {quoted(text)} for its text; drop the row or give it a text")
            texts.append(str(text))
            labels.append(label)
        return cls(tuple(texts), tuple(as_labels(labels)))


@dataclass(frozen=True, slots=True)
class Split:
    """Training and test rows of a data set, each in pseudo-random order.

    The test set is balanced: it holds equally many rows of each label, and so do its first n rows where n is a
    multiple of the number of labels.
    """

    train: Examples
    test: Examples


def split_rows(rows: Iterable[tuple[str, Label]]) -> Split:
    """Clean (text, label) rows and split them into training and test sets.

    Texts are stripped. Empty texts and duplicates are dropped, and so is every text with two different labels.
    Rows whose hash is in the lowest 30 % go to the test set, where the larger labels lose rows until all labels have
    equally many.

    Raises:
        DataError: a row is not a pair of a text and a label; names it.

    >>> split = split_rows((f"text {n}", "odd" if n % 2 else "even") for n in [*range(100), *range(100)])
    >>> len(split.train), split.test.labels[:4], len(split.test)
    (71, ('even', 'odd', 'even', 'odd'), 28)
    """
    examples = Examples.from_rows(rows)
    kept: dict[str, tuple[str, Label]] = {}
    ambiguous = set()
    for raw, label in zip(examples.texts, examples.labels, strict=True):
        text = raw.strip()
        key = normalise(text)
        if not key:
            continue
        if kept.setdefault(key, (text, label))[1] != label:
            ambiguous.add(key)

    train: list[tuple[str, Label]] = []
    test: dict[Label, list[tuple[str, Label]]] = defaultdict(list)
    for digest, key in sorted((_digest(key), key) for key in kept if key not in ambiguous):
        text, label = kept[key]
        if _is_low(digest):
            test[label].append((text, label))
        else:
            train.append((text, label))
    turns = zip(*(test[label] for label in sorted(test)), strict=False)  # stops with the smallest label
    return Split(Examples.from_rows(train), Examples.from_rows(row for turn in turns for row in turn))


def is_held_out(text: str) -> bool:
    """Return True for about three in ten texts, the ones that `split_rows` holds out, by a hash of each.

    >>> [is_held_out(text) for text in ("A delight.", "Dull.", " dull.", "很好")]
    [False, False, False, True]
    """
    return _is_low(_digest(normalise(text.strip())))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _is_low(digest: bytes) -> bool:
    return int.from_bytes(digest[:8], "big") < _TEST_SHARE * 2**64


def few_shot(labels: Sequence[Label], shots: int, random_state: int) -> list[int]:
    """Draw the same number of rows of each class without replacement.

    Args:
        labels: the label of each row.
        shots: rows to draw of each class.
        random_state: seed; equal seeds draw equal rows. The global generator is not used.

    Returns:
        Indices of the drawn rows, ascending.

    Raises:
        ParameterError: a class has fewer rows than `shots`, `shots` is less than 1, or the seed is not an integer.

    >>> few_shot(["good", "bad", "good", "bad", "good"], shots=1, random_state=0)
    [2, 3]
    """
    constraints = {"shots": integer(at_least=1), "random_state": integer(at_least=0)}
    validate_parameters({"shots": shots, "random_state": random_state}, constraints)
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
