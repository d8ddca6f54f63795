"""Labelled texts cleaned and parted into training and test rows by their own hash.

Whether a text is for training or for testing follows from the text alone: no seed, no order of
files, and a row that comes twice under another spelling cannot stand on both sides.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

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
