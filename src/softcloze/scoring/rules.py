"""Which rows a model has to read to score conjunctions: a label word at each of several masks.

A conjunction is written as the token ids of its words, in the order of the masks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from softcloze.encoding import EncodedPrompt
from softcloze.scoring.queries import CausalPlan, Plan, Query, Read, last_before, types_of

Conjunction: TypeAlias = tuple[tuple[int, ...], ...]


class MaskedRules(Plan):
    """A masked model: all masks of a row are filled in one pass.

    A conjunction's score is the sum of its words' log-probabilities, each given all the others masked. While the
    words of one mask are tried, every other mask has as many mask tokens as the shortest of its own words, so where
    the words of each mask have one length, there is one row, and else one more for every further length.
    """

    def __init__(self, conjunctions: Sequence[Conjunction], mask_id: int):
        """Plan for `conjunctions`."""
        self.words = tuple(tuple(chain(*conjunction)) for conjunction in conjunctions)
        self._mask_id = mask_id
        lengths = [sorted({len(word) for word in words}) for words in zip(*conjunctions, strict=True)]
        shortest = tuple(own[0] for own in lengths)
        # the masks' lengths in each row -> what is read there: the mask, its word, the conjunction
        self._rows: dict[tuple[int, ...], list[tuple[int, tuple[int, ...], int]]] = {shortest: []}
        for i, conjunction in enumerate(conjunctions):
            for mask, word in enumerate(conjunction):
                row = (*shortest[:mask], len(word), *shortest[mask + 1 :])
                self._rows.setdefault(row, []).append((mask, word, i))
        self.normalised = max(map(len, lengths)) > 1

    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """One row for each combination of lengths that is read."""
        queries = []
        for lengths, words in self._rows.items():
            *first, last = lengths
            starts, filled = [], prompt
            for length in first:
                starts.append(len(filled.left))
                filled = fill(filled, (self._mask_id,) * length)
            starts.append(len(filled.left))
            queries.append(
                Query(
                    filled.left + (self._mask_id,) * last + filled.right,
                    tuple(Read(starts[mask] + j, token, i) for mask, word, i in words for j, token in enumerate(word)),
                    types_of(filled, last),
                )
            )
        return queries


class CausalRules(Plan):
    """A causal model: each conjunction is filled in, and all is scored from the first mask on.

    log P(words, text between and after them | text before the first mask). Conjunctions that differ only in the word
    at the last mask share their rows as `CausalPlan` shares them.
    """

    def __init__(self, conjunctions: Sequence[Conjunction], *, has_right: bool):
        """Plan for `conjunctions`, with or without text after the last mask."""
        self.words = tuple(tuple(chain(*conjunction)) for conjunction in conjunctions)
        members: dict[Conjunction, list[int]] = {}
        for i, conjunction in enumerate(conjunctions):
            members.setdefault(conjunction[:-1], []).append(i)
        self._groups = [
            (first, CausalPlan([conjunctions[i][-1] for i in own], has_right=has_right), own)
            for first, own in members.items()
        ]
        self.normalised = len(conjunctions[0]) > 1 or self._groups[0][1].normalised

    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """The rows of each group of conjunctions that differ in the last word only.

        Raises:
            EncodingError: nothing stands before the first mask, so there is no place to predict it from.
        """
        last_before(prompt)
        return [query for group in self._groups for query in self._group_queries(prompt, *group)]

    def _group_queries(
        self, prompt: EncodedPrompt, first: Conjunction, plan: CausalPlan, members: Sequence[int]
    ) -> Iterator[Query]:
        filled = prompt
        for word in first:
            filled = fill(filled, word)
        row, behind = filled.left, range(len(prompt.left), len(filled.left))
        shared = [Read(p - 1, row[p], i) for p in behind if row[p] >= 0 for i in members]
        for query in plan.queries(filled):
            own = [replace(read, cell=members[read.cell]) for read in query.reads]
            yield replace(query, reads=(*shared, *own))
            shared = []  # what stands before the last mask is read off one row


def fill(prompt: EncodedPrompt, ids: tuple[int, ...]) -> EncodedPrompt:
    """The prompt with ids in the place of its first mask, one of several.

    >>> fill(EncodedPrompt((5,), (8,), {}, between=((6,), (7,))), (1, 2))
    EncodedPrompt(left=(5, 1, 2, 6), right=(8,), cut={}, types=None, dropped=0, between=((7,),))
    """
    piece, *between = prompt.between
    return replace(prompt, left=prompt.left + ids + piece, between=tuple(between), types=types_of(prompt, len(ids)))
