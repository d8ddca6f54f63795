"""Scoring plans for causal language models."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from softcloze.encoding import EncodedPrompt
from softcloze.scoring.plan import Conjunction, LogitRead, ModelInput, Plan, fill, last_before, token_type_ids_of


class CausalPlan(Plan):
    """A causal model: the chain of conditional probabilities of the word's tokens, and of the text behind it.

    Without text after the mask, words that begin alike share their rows: a row is read for every prefix of it,
    so that words of one token cost one row together. With text after the mask every word fills a row of its
    own, and the text counts, since it is what tells whether the word fits: log P(word, text after | text before).
    """

    def __init__(self, words: Sequence[tuple[int, ...]], *, has_right: bool):
        """Plan for `words`, token ids of each label word, with or without text after the mask."""
        self.words = tuple(words)
        prefixes = {word[:k] for word in words for k in range(len(word))}
        ends = sorted(p for p in prefixes if not any(q[: len(p)] == p and q != p for q in prefixes))
        # each prefix is read off the first row that passes through it
        row_of = {p: next(r for r, end in enumerate(ends) if end[: len(p)] == p) for p in prefixes}
        self._rows: list[tuple[tuple[int, ...], list[LogitRead]]] = [(end, []) for end in ends]
        for i, word in enumerate(words):
            for k, token in enumerate(word):
                self._rows[row_of[word[:k]]][1].append(LogitRead(k, token, i))
        paths = {tuple(word[:k] for k in range(len(word))) for word in words}
        self.normalised = has_right or len(paths) > 1

    def most_rows(self, prompt: EncodedPrompt) -> int:
        """One for each end of a word's tokens, or for each word where text follows."""
        return len(self.words if prompt.right else self._rows)

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """Rows that pass through every prefix of a word, or one for each word where text follows.

        Raises:
            EncodingError: nothing stands before the mask, so there is no place to predict it from.
        """
        at = last_before(prompt)
        if prompt.right:
            queries = []
            for i, word in enumerate(self.words):
                row = prompt.left + word + prompt.right
                reads = tuple(LogitRead(p - 1, row[p], i) for p in range(at + 1, len(row)) if row[p] >= 0)
                token_type_ids = token_type_ids_of(prompt, len(word))
                queries.append(ModelInput(row[:-1], reads, token_type_ids[:-1] if token_type_ids is not None else None))
            return queries
        return [
            ModelInput(
                prompt.left + end,
                tuple(LogitRead(at + read.position, read.token, read.cell) for read in reads),
                token_type_ids_of(prompt, len(end)),
            )
            for end, reads in self._rows
        ]


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

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The rows of each group of conjunctions that differ in the last word only.

        Raises:
            EncodingError: nothing stands before the first mask, so there is no place to predict it from.
        """
        last_before(prompt)
        return [query for group in self._groups for query in self._group_queries(prompt, *group)]

    def _group_queries(
        self, prompt: EncodedPrompt, first: Conjunction, plan: CausalPlan, members: Sequence[int]
    ) -> Iterator[ModelInput]:
        filled = prompt
        for word in first:
            filled = fill(filled, word)
        row, behind = filled.left, range(len(prompt.left), len(filled.left))
        shared = [LogitRead(p - 1, row[p], i) for p in behind if row[p] >= 0 for i in members]
        for query in plan.queries(filled):
            own = [replace(read, cell=members[read.cell]) for read in query.reads]
            yield replace(query, reads=(*shared, *own))
            shared = []  # what stands before the last mask is read off one row
