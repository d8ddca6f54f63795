"""Which rows a model has to read, and what to read off them, to score every label word of a prompt."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from softcloze.encoding import EncodedPrompt, EncodingError


@dataclass(frozen=True, slots=True)
class Read:
    """One factor of a label word's probability.

    Attributes:
        position: the place in the row whose output is read.
        token: the vocabulary id whose log-probability it gives.
        cell: the number of the sum that it is added to, mostly that of the label word.
    """

    position: int
    token: int
    cell: int


@dataclass(frozen=True, slots=True)
class Query:
    """One row for the model, with everything that is read off it.

    Attributes:
        ids: tokens, and soft slots as negative ids; of a seq2seq model the decoder's, which are tokens.
        reads: what to read.
        types: the token type of each id; None where all are of one.
        state: the place whose state is read as well, if any.
        source: what the encoder of a seq2seq model reads, soft slots among it; empty for other models.
    """

    ids: tuple[int, ...]
    reads: tuple[Read, ...]
    types: tuple[int, ...] | None = None
    state: int | None = None
    source: tuple[int, ...] = ()

    @property
    def places(self) -> list[int]:
        """All places where something is read, in order."""
        own = {read.position for read in self.reads}
        return sorted(own if self.state is None else own | {self.state})


# the rows of each prompt and the number of sums that they are read for -> those sums in nats, shape (batch, sums)
Reader = Callable[[Sequence[Sequence[Query]], int], Tensor]


class Plan(ABC):
    """How label words are scored: which rows the model reads, and what is read off them.

    Attributes:
        words: token ids of each label word.
        normalised: whether the reads are log-probabilities over the whole vocabulary. Where all words are read
            at the same places the normaliser is the same for all of them; raw scores then compare as well, and
            the vocabulary-sized product is spared.
        adaptive: whether what is read depends on what was read before.
    """

    words: tuple[tuple[int, ...], ...]
    normalised: bool
    adaptive = False

    @abstractmethod
    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """The rows of a prompt; where later ones depend on what is read off others, those to begin with."""

    def most_rows(self, prompt: EncodedPrompt) -> int:
        """The rows that a prompt takes at a time, at most."""
        return len(self.queries(prompt))

    def scores(self, prompts: Sequence[EncodedPrompt], read: Reader) -> Tensor:
        """Scores of all words in nats, as `read` finds them, shape (batch, words)."""
        return read([self.queries(prompt) for prompt in prompts], len(self.words))


class MaskedPlan(Plan):
    """A masked model: as many mask tokens as the word has tokens, filled in one pass.

    A word's score is the sum of its tokens' log-probabilities, each given the others masked.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3: their training does it in one pass too, but
        with as many masks for all words as the longest one has tokens.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int):
        """Plan for `words`, token ids of each label word."""
        self.words = tuple(words)
        self._mask_id = mask_id
        lengths = sorted({len(word) for word in words})
        self._by_length = [(n, [(i, word) for i, word in enumerate(words) if len(word) == n]) for n in lengths]
        self.normalised = len(lengths) > 1

    def most_rows(self, prompt: EncodedPrompt) -> int:
        """One for each length."""
        return len(self._by_length)

    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """One row for each length that label words have."""
        at = len(prompt.left)
        return [
            Query(
                prompt.left + (self._mask_id,) * length + prompt.right,
                tuple(Read(at + j, token, i) for i, word in words for j, token in enumerate(word)),
                types_of(prompt, length),
            )
            for length, words in self._by_length
        ]


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
        self._rows: list[tuple[tuple[int, ...], list[Read]]] = [(end, []) for end in ends]
        for i, word in enumerate(words):
            for k, token in enumerate(word):
                self._rows[row_of[word[:k]]][1].append(Read(k, token, i))
        paths = {tuple(word[:k] for k in range(len(word))) for word in words}
        self.normalised = has_right or len(paths) > 1

    def most_rows(self, prompt: EncodedPrompt) -> int:
        """One for each end of a word's tokens, or for each word where text follows."""
        return len(self.words if prompt.right else self._rows)

    def queries(self, prompt: EncodedPrompt) -> list[Query]:
        """Rows that pass through every prefix of a word, or one for each word where text follows.

        Raises:
            EncodingError: nothing stands before the mask, so there is no place to predict it from.
        """
        at = last_before(prompt)
        if prompt.right:
            queries = []
            for i, word in enumerate(self.words):
                row = prompt.left + word + prompt.right
                reads = tuple(Read(p - 1, row[p], i) for p in range(at + 1, len(row)) if row[p] >= 0)
                types = types_of(prompt, len(word))
                queries.append(Query(row[:-1], reads, types[:-1] if types is not None else None))
            return queries
        return [
            Query(
                prompt.left + end,
                tuple(Read(at + read.position, read.token, read.cell) for read in reads),
                types_of(prompt, len(end)),
            )
            for end, reads in self._rows
        ]


def last_before(prompt: EncodedPrompt) -> int:
    """The place before the first mask, from which a causal model predicts what comes there.

    Raises:
        EncodingError: nothing stands before it.
    """
    if not prompt.left:
        raise EncodingError(
            "nothing stands before <mask>, and a causal model predicts from what stands before; "
            "put some text, a field or a soft slot there"
        )
    return len(prompt.left) - 1


def types_of(prompt: EncodedPrompt, length: int) -> tuple[int, ...] | None:
    """The token types of a prompt with so many ids in the first mask's place, which have the mask's own."""
    types, at = prompt.types, len(prompt.left)
    return types[:at] + types[at : at + 1] * length + types[at + 1 :] if types is not None else None
