"""Which rows a model has to read, and what to read off them, to score every label word of a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from softcloze.encoding import EncodedPrompt, EncodingError


@dataclass(frozen=True, slots=True)
class Read:
    """One factor of a label word's probability.

    Attributes:
        position: the place in the row whose output is read.
        token: the vocabulary id whose log-probability it gives.
        word: the label word that it is a factor of.
    """

    position: int
    token: int
    word: int


@dataclass(frozen=True, slots=True)
class Query:
    """One row for the model, with everything that is read off it.

    Attributes:
        ids: tokens, and soft slots as negative ids.
        reads: what to read.
        types: the token type of each id; None where all are of one.
        state: the place of the state at the mask, in one query of each prompt of a plan that reads states.
    """

    ids: tuple[int, ...]
    reads: tuple[Read, ...]
    types: tuple[int, ...] | None = None
    state: int | None = None

    @property
    def places(self) -> list[int]:
        """All places where something is read, in order."""
        own = {read.position for read in self.reads}
        return sorted(own if self.state is None else own | {self.state})


class MaskedPlan:
    """A masked model: as many mask tokens as the word has tokens, filled in one pass.

    A word's score is the sum of its tokens' log-probabilities, each given the others masked.

    Attributes:
        normalised: whether the reads are log-probabilities over the whole vocabulary. Where all words are read
            at the same places the normaliser is the same for all of them; raw scores then compare as well, and
            the vocabulary-sized product is spared.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3, whose training does it in one pass too.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int, *, states: bool = False):
        """Plan for `words`, token ids of each label word, and for the state at one mask token."""
        self._mask_id = mask_id
        self._states = states
        lengths = {len(word) for word in words}
        self.normalised = len(lengths) > 1
        lengths |= {1} if states else set()
        self._by_length = [(n, [(i, word) for i, word in enumerate(words) if len(word) == n]) for n in sorted(lengths)]

    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """One row for each length that label words have, and for a state one of length 1."""
        at = len(prompt.left)
        return [
            Query(
                prompt.left + (self._mask_id,) * length + prompt.right,
                tuple(Read(at + j, token, i) for i, word in words for j, token in enumerate(word)),
                _types(prompt, length),
                at if self._states and length == 1 else None,
            )
            for length, words in self._by_length
        ]


class CausalPlan:
    """A causal model: the chain of conditional probabilities of the word's tokens, and of the text behind it.

    Without text after the mask, words that begin alike share their rows: a row is read for every prefix of it,
    so that words of one token cost one row together. With text after the mask every word fills a row of its
    own, and the text counts, since it is what tells whether the word fits: log P(word, text after | text before).

    Attributes:
        normalised: as in `MaskedPlan`.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], *, has_right: bool, states: bool = False):
        """Plan for `words`, token ids of each label word, with or without text after the mask, and for the state.

        The state is that of the last token before the mask, from which the model predicts what comes there.
        """
        self._words = tuple(words)
        self._states = states
        prefixes = {word[:k] for word in words for k in range(len(word))} or {()}
        ends = sorted(p for p in prefixes if not any(q[: len(p)] == p and q != p for q in prefixes))
        # each prefix is read off the first row that passes through it
        row_of = {p: next(r for r, end in enumerate(ends) if end[: len(p)] == p) for p in prefixes}
        self._rows: list[tuple[tuple[int, ...], list[Read]]] = [(end, []) for end in ends]
        for i, word in enumerate(words):
            for k, token in enumerate(word):
                self._rows[row_of[word[:k]]][1].append(Read(k, token, i))
        paths = {tuple(word[:k] for k in range(len(word))) for word in words}
        self.normalised = has_right or len(paths) > 1

    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """Rows that pass through every prefix of a word, or one for each word where text follows.

        Raises:
            EncodingError: nothing stands before the mask, so there is no place to predict it from.
        """
        if not prompt.left:
            raise EncodingError(
                "nothing stands before <mask>, and a causal model predicts from what stands before; "
                "put some text, a field or a soft slot there"
            )
        at = len(prompt.left) - 1
        if prompt.right:
            queries = []
            for i, word in enumerate(self._words):
                row = prompt.left + word + prompt.right
                reads = tuple(Read(p - 1, row[p], i) for p in range(at + 1, len(row)) if row[p] >= 0)
                types = _types(prompt, len(word))
                queries.append(Query(row[:-1], reads, types[:-1] if types is not None else None))
            return self._with_state(queries, at)
        queries = [
            Query(
                prompt.left + end,
                tuple(Read(at + read.position, read.token, read.word) for read in reads),
                _types(prompt, len(end)),
            )
            for end, reads in self._rows
        ]
        return self._with_state(queries, at)

    def _with_state(self, queries: list[Query], at: int) -> list[Query]:
        """All of them begin alike, so that the first one tells the state as well."""
        return [replace(queries[0], state=at), *queries[1:]] if self._states else queries


def _types(prompt: EncodedPrompt, length: int) -> tuple[int, ...] | None:
    """The token types of a prompt with so many ids in the mask's place, which have the mask's own."""
    types, at = prompt.types, len(prompt.left)
    return types[:at] + types[at : at + 1] * length + types[at + 1 :] if types is not None else None
