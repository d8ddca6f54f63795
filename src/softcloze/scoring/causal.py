"""Scoring plans for causal language models."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from softcloze.encoding import EncodedPrompt
from softcloze.scoring.plan import (
    Conjunction,
    LogitRead,
    ModelInput,
    Plan,
    fill_mask,
    last_before,
    token_type_ids_of,
)


class CausalPlan(Plan):
    """Score the chain of conditional probabilities of the word's tokens, and of the text after it.

    Without text after the mask, words with a common prefix share their sequences: every prefix of a word is read from
    one of them, so that words of one token need one sequence together. With text after the mask every word has a
    sequence of its own, and the text counts, since it tells whether the word fits:
    log P(word, text after | text before).
    """

    def __init__(self, words: Sequence[tuple[int, ...]], *, has_right: bool):
        """Plan for `words`, token ids of each label word, with or without text after the mask."""
        self.words = tuple(words)
        prefixes = {word[:k] for word in words for k in range(len(word))}
        ends = sorted(p for p in prefixes if not any(q[: len(p)] == p and q != p for q in prefixes))
        # each prefix is read from the first sequence that contains it
        end_of = {p: next(i for i, end in enumerate(ends) if end[: len(p)] == p) for p in prefixes}
        self._branches = len(prefixes - {()})
        self._ends: list[tuple[tuple[int, ...], list[LogitRead]]] = [(end, []) for end in ends]
        for i, word in enumerate(words):
            for k, token in enumerate(word):
                self._ends[end_of[word[:k]]][1].append(LogitRead(k, token, i))
        paths = {tuple(word[:k] for k in range(len(word))) for word in words}
        self.normalised = has_right or len(paths) > 1

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """One for each longest prefix of the words, or one for each word where text follows."""
        return len(self.words if prompt.right else self._ends)

    def packed_length(self, prompt: EncodedPrompt) -> int:
        """The tokens before the mask, each prefix of the words, and for each word the text that follows it."""
        if prompt.right:
            return len(prompt.left) + sum(len(word) + len(prompt.right) - 1 for word in self.words)
        return len(prompt.left) + self._branches

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """Sequences with every prefix of a word, or one for each word where text follows.

        Raises:
            EncodingError: nothing comes before the mask, so that it cannot be predicted.
        """
        last = last_before(prompt)
        if prompt.right:
            return [self._with_right(prompt, i, word) for i, word in enumerate(self.words)]
        return [
            ModelInput(
                prompt.left + end,
                tuple(LogitRead(last + read.position, read.token, read.column) for read in reads),
                token_type_ids_of(prompt, len(end)),
            )
            for end, reads in self._ends
        ]

    @staticmethod
    def _with_right(prompt: EncodedPrompt, column: int, word: tuple[int, ...]) -> ModelInput:
        ids = prompt.left + word + prompt.right
        scored = range(len(prompt.left), len(ids))
        reads = tuple(LogitRead(p - 1, ids[p], column) for p in scored if ids[p] >= 0)
        types = token_type_ids_of(prompt, len(word))
        return ModelInput(ids[:-1], reads, types[:-1] if types is not None else None)


class CausalRules(Plan):
    """Score conjunctions of words: each is filled in, and everything from the first mask on is scored.

    log P(words, text between and after them | text before the first mask). Conjunctions that differ only in the word
    at the last mask share their sequences as in `CausalPlan`.
    """

    def __init__(self, conjunctions: Sequence[Conjunction], *, has_right: bool):
        """Plan for `conjunctions`, with or without text after the last mask."""
        self.words = tuple(tuple(chain(*conjunction)) for conjunction in conjunctions)
        members: dict[Conjunction, list[int]] = {}
        for i, conjunction in enumerate(conjunctions):
            members.setdefault(conjunction[:-1], []).append(i)
        self._groups = [
            (first, CausalPlan([conjunctions[i][-1] for i in indices], has_right=has_right), indices)
            for first, indices in members.items()
        ]
        self.normalised = len(conjunctions[0]) > 1 or self._groups[0][1].normalised

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The sequences of each group of conjunctions that differ in the last word only.

        Raises:
            EncodingError: nothing comes before the first mask, so that it cannot be predicted.
        """
        last_before(prompt)
        return [model_input for group in self._groups for model_input in self._group_inputs(prompt, *group)]

    def _group_inputs(
        self, prompt: EncodedPrompt, first: Conjunction, plan: CausalPlan, members: Sequence[int]
    ) -> Iterator[ModelInput]:
        filled = prompt
        for word in first:
            filled = fill_mask(filled, word)
        ids, scored = filled.left, range(len(prompt.left), len(filled.left))
        shared = [LogitRead(p - 1, ids[p], i) for p in scored if ids[p] >= 0 for i in members]
        for model_input in plan.model_inputs(filled):
            last_word = [replace(read, column=members[read.column]) for read in model_input.reads]
            yield replace(model_input, reads=(*shared, *last_word))
            shared = []  # the text before the last mask is read from one sequence
