"""Scoring plans: model inputs and the logits to read from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

from softcloze.encoding import EncodedPrompt
from softcloze.errors import EncodingError


@dataclass(frozen=True, slots=True)
class LogitRead:
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
class ModelInput:
    """One row for the model, with everything that is read off it.

    Attributes:
        ids: tokens, and soft slots as negative ids; of a seq2seq model the decoder's, which are tokens.
        reads: what to read.
        token_type_ids: the token type of each id; None where all are of one.
        state: the place whose state is read as well, if any.
        source: what the encoder of a seq2seq model reads, soft slots among it; empty for other models.
    """

    ids: tuple[int, ...]
    reads: tuple[LogitRead, ...]
    token_type_ids: tuple[int, ...] | None = None
    state: int | None = None
    source: tuple[int, ...] = ()

    @property
    def places(self) -> list[int]:
        """All places where something is read, in order."""
        own = {read.position for read in self.reads}
        return sorted(own if self.state is None else own | {self.state})


# the rows of each prompt and the number of sums that they are read for -> those sums in nats, shape (batch, sums)
Reader = Callable[[Sequence[Sequence[ModelInput]], int], Tensor]


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
    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The rows of a prompt; where later ones depend on what is read off others, those to begin with."""

    def most_rows(self, prompt: EncodedPrompt) -> int:
        """The rows that a prompt takes at a time, at most."""
        return len(self.queries(prompt))

    def scores(self, prompts: Sequence[EncodedPrompt], read: Reader) -> Tensor:
        """Scores of all words in nats, as `read` finds them, shape (batch, words)."""
        return read([self.queries(prompt) for prompt in prompts], len(self.words))


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


def token_type_ids_of(prompt: EncodedPrompt, length: int) -> tuple[int, ...] | None:
    """The token types of a prompt with so many ids in the first mask's place, which have the mask's own."""
    token_type_ids, at = prompt.token_type_ids, len(prompt.left)
    return (
        token_type_ids[:at] + token_type_ids[at : at + 1] * length + token_type_ids[at + 1 :]
        if token_type_ids is not None
        else None
    )


Conjunction: TypeAlias = tuple[tuple[int, ...], ...]


def fill(prompt: EncodedPrompt, ids: tuple[int, ...]) -> EncodedPrompt:
    """The prompt with ids in the place of its first mask, one of several.

    >>> fill(EncodedPrompt((5,), (8,), {}, between=((6,), (7,))), (1, 2))
    EncodedPrompt(left=(5, 1, 2, 6), right=(8,), cut={}, token_type_ids=None, dropped=0, between=((7,),))
    """
    piece, *between = prompt.between
    return replace(
        prompt,
        left=prompt.left + ids + piece,
        between=tuple(between),
        token_type_ids=token_type_ids_of(prompt, len(ids)),
    )
