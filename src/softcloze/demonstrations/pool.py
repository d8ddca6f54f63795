"""The pool of labelled examples that demonstrations are selected from, and the allocation of labels."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, zip_longest
from typing import Self

from softcloze.data import Example
from softcloze.encoding import Demonstration, MaskWords
from softcloze.template import Template
from softcloze.verbalizer import Label

Values = Mapping[str, object]


@dataclass(frozen=True)
class Pool:
    """Labelled examples to select demonstrations from.

    Attributes:
        values: field values of each example, as `Template.read_fields` returns them.
        labels: index of each example's label.
        words: for each label the word to show at the mask, or one word for each named mask; none for free text.
        answers: for free text the answer of each example, all of which have label 0; None for labels.
    """

    values: tuple[Values, ...]
    labels: tuple[int, ...]
    words: tuple[MaskWords, ...]
    answers: tuple[str, ...] | None = None

    @classmethod
    def from_examples(
        cls, template: Template, examples: Sequence[Example], labels: Sequence[int], words: Sequence[MaskWords]
    ) -> Self:
        """Make a pool of examples for `template`; `labels` and `words` as in the attributes.

        Raises:
            FieldError: an example lacks a field; names the row.
        """
        values = tuple(template.read_fields(example, row) for row, example in enumerate(examples))
        return cls(values, tuple(labels), tuple(words))

    @classmethod
    def from_answers(cls, template: Template, examples: Sequence[Example], answers: Sequence[str]) -> Self:
        """Make a pool of examples with answers as free text; raises as `from_examples`."""
        values = tuple(template.read_fields(example, row) for row, example in enumerate(examples))
        return cls(values, (0,) * len(values), (), tuple(answers))

    def chosen(self, rows: Sequence[int]) -> Self:
        """A pool of some rows."""
        answers = tuple(self.answers[row] for row in rows) if self.answers is not None else None
        return type(self)(
            tuple(self.values[row] for row in rows), tuple(self.labels[row] for row in rows), self.words, answers
        )

    @property
    def label_count(self) -> int:
        """Number of labels; 1 for free text."""
        return len(self.words) if self.answers is None else 1

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.values)

    def demonstrations(self, rows: Iterable[int]) -> list[Demonstration]:
        """Examples of the pool as demonstrations, in this order; one object per example, rendered once."""
        return [self._demonstrations[row] for row in rows]

    def labelled_values(self, labels: Sequence[Label]) -> list[dict[str, object]]:
        """Examples as data that JSON holds; `labels` by the indices that the pool uses."""
        if self.answers is not None:
            pairs = zip(self.answers, self.values, strict=True)
            return [{"answer": answer, "values": dict(values)} for answer, values in pairs]
        return [
            {"label": labels[label], "values": dict(values)}
            for label, values in zip(self.labels, self.values, strict=True)
        ]

    def duplicates(self, values: Values) -> list[int]:
        """Rows of the pool whose values equal `values`, whatever their label."""
        return self._rows_by_values.get(repr(values), [])

    @property
    def label_counts(self) -> list[int]:
        """Number of examples of each label."""
        counts = Counter(self.labels)
        return [counts[label] for label in range(self.label_count)]

    @cached_property
    def label_counts_without_self(self) -> list[int]:
        """Number of examples of each label that remain for any example of the pool, without itself and its duplicates.

        It is the same for all examples: with one fewer of its own label, the counts would give an example's label away.
        """
        counts = self.label_counts
        for label, count in enumerate(self.label_counts):
            excluded = (sum(self.labels[row] == label for row in rows) for rows in self._rows_by_values.values())
            counts[label] = count - max(excluded, default=0)
        return counts

    @cached_property
    def _demonstrations(self) -> list[Demonstration]:
        words = self.answers if self.answers is not None else [self.words[label] for label in self.labels]
        return [Demonstration(values, word) for values, word in zip(self.values, words, strict=True)]

    @cached_property
    def _rows_by_values(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = defaultdict(list)
        for row, values in enumerate(self.values):
            rows[repr(values)].append(row)
        return dict(rows)


def text_for_similarity(values: Values) -> str:
    r"""The text by which an example is compared with others: the values of its fields, each on a line.

    >>> text_for_similarity({"title": "Dune", "text": "Long."})
    'Dune\nLong.'
    """
    return "\n".join(str(value) for value in values.values() if value is not None)


def allocate(count: int, available: Sequence[int]) -> list[int]:
    """Divide `count` demonstrations over labels as evenly as possible; a label with too few examples gives them all.

    Other labels do not make up for it: models expect a label that is shown more often.

    Args:
        count: demonstrations in all.
        available: number of examples of each label; earlier labels get a remainder first.

    >>> allocate(5, [9, 9])
    [3, 2]
    >>> allocate(8, [1, 9])
    [1, 4]
    """
    share, remainder = divmod(count, len(available))
    shares = [min(share, size) for size in available]
    for label, size in enumerate(available):
        if remainder and size > share:
            shares[label] += 1
            remainder -= 1
    return shares


def alternate_labels(
    ranked: Sequence[int], labels: Sequence[int], order: Sequence[int], shares: Sequence[int]
) -> list[int]:
    """Select the best rows of each label and arrange them with alternating labels, the best row last.

    Args:
        ranked: rows, the best one first.
        labels: label of each row.
        order: labels in the order in which they alternate, counted from the last row.
        shares: maximum number of rows of each label of `order`.

    Source:
        Zhao et al., ICML 2021, arXiv:2102.09690: models favour labels that are shown often, or last.

    >>> alternate_labels([0, 1, 2, 3, 4], labels=[1, 1, 1, 0, 0], order=[1, 0], shares=[2, 1])
    [1, 3, 0]
    """
    by_label = [
        list(islice((row for row in ranked if labels[row] == label), share))
        for label, share in zip(order, shares, strict=True)
    ]
    return [row for one_of_each in zip_longest(*by_label) for row in one_of_each if row is not None][::-1]
