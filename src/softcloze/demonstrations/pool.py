"""The labelled examples that demonstrations are chosen from."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Self

from softcloze.data import Example
from softcloze.encoding import Answer, Demonstration
from softcloze.template import Template

Values = Mapping[str, object]


@dataclass(frozen=True)
class Pool:
    """Labelled examples at hand.

    Attributes:
        values: the field values of each example, as `Template.read_fields` gives them.
        labels: the number of each example's label.
        words: for each label the word that stands in the mask's place, or that of each named mask.
    """

    values: tuple[Values, ...]
    labels: tuple[int, ...]
    words: tuple[Answer, ...]

    @classmethod
    def read(
        cls, template: Template, examples: Sequence[Example], labels: Sequence[int], words: Sequence[Answer]
    ) -> Self:
        """The pool of examples for `template`, with the number of each one's label.

        Raises:
            FieldError: an example lacks a field; names the row.
        """
        values = tuple(template.read_fields(example, row) for row, example in enumerate(examples))
        return cls(values, tuple(labels), tuple(words))

    def __len__(self) -> int:
        """Examples."""
        return len(self.values)

    def demonstrations(self, rows: Iterable[int]) -> list[Demonstration]:
        """These examples, to be shown in this order; always the same objects, which are then written only once."""
        return [self._demonstrations[row] for row in rows]

    def twins(self, values: Values) -> list[int]:
        """Rows of the pool that are the same as `values` word for word, whatever their label."""
        return self._rows.get(repr(values), [])

    @property
    def sizes(self) -> list[int]:
        """Examples of each label."""
        counts = Counter(self.labels)
        return [counts[label] for label in range(len(self.words))]

    @cached_property
    def sizes_for_own(self) -> list[int]:
        """Examples of each label that are left for every example of the pool, its twins and itself put aside.

        The same for all: if an example saw one fewer of its own label, the number would tell the label.
        """
        shortest = self.sizes
        for label, size in enumerate(self.sizes):
            aside = (sum(self.labels[row] == label for row in rows) for rows in self._rows.values())
            shortest[label] = size - max(aside, default=0)
        return shortest

    @cached_property
    def _demonstrations(self) -> list[Demonstration]:
        return [Demonstration(own, self.words[label]) for own, label in zip(self.values, self.labels, strict=True)]

    @cached_property
    def _rows(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = defaultdict(list)
        for row, values in enumerate(self.values):
            rows[repr(values)].append(row)
        return dict(rows)


def text_of(values: Values) -> str:
    r"""The text by which an example is compared with others: its fields, one below the other.

    >>> text_of({"title": "Dune", "text": "Long."})
    'Dune\nLong.'
    """
    return "\n".join(str(value) for value in values.values() if value is not None)


def divide(count: int, sizes: Sequence[int]) -> list[int]:
    """`count` divided over labels as evenly as possible; a label with too few gives what it has.

    What the others would have to add for it stays away, since a label that is shown more often is the one that
    the model expects.

    Args:
        count: demonstrations in all.
        sizes: examples at hand, of the label that comes first where one more is to be given away, and so on.

    >>> divide(5, [9, 9])
    [3, 2]
    >>> divide(8, [1, 9])
    [1, 4]
    """
    each, more = divmod(count, len(sizes))
    shares = [min(each, size) for size in sizes]
    for label, size in enumerate(sizes):
        if more and size > each:
            shares[label] += 1
            more -= 1
    return shares


def alternate(ranked: Iterable[int], labels: Sequence[int], order: Sequence[int], shares: Sequence[int]) -> list[int]:
    """Rows with labels in turn, best ones last.

    Args:
        ranked: rows, the best one first.
        labels: the label of every row.
        order: labels in the order of their turns, counted from the last row.
        shares: rows of each label of `order` at most.

    Source:
        Zhao et al., ICML 2021, arXiv:2102.09690: models favour labels that are shown often, or last.

    >>> alternate([0, 1, 2, 3, 4], labels=[1, 1, 1, 0, 0], order=[1, 0], shares=[2, 1])
    [1, 3, 0]
    """
    wanted = dict(zip(order, shares, strict=True))
    chosen: dict[int, list[int]] = {label: [] for label in order}
    missing = sum(shares)
    for row in ranked:
        if not missing:
            break
        own = chosen[labels[row]]
        if len(own) < wanted[labels[row]]:
            own.append(row)
            missing -= 1
    turns = zip_longest(*chosen.values())
    return [row for turn in turns for row in turn if row is not None][::-1]
