"""Scoring plans: model inputs and the logits to read from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from torch import Tensor

from softcloze.encoding import EncodedPrompt
from softcloze.errors import EncodingError

States: TypeAlias = Literal["mask", "mean"]
"""The hidden state of a prompt: the one at its mask, or the mean over the tokens of its fields."""

NOTHING_BEFORE_MASK = (
    "nothing stands before <mask>, and a causal model predicts from the text before it; put some text, a field or a "
    "soft slot there"
)


@dataclass(frozen=True, slots=True)
class LogitRead:
    """One factor of a label word's probability.

    Attributes:
        position: the position in the sequence whose logits are read.
        token: the vocabulary id whose log-probability is read.
        column: the index of the sum to which it is added, mostly that of the label word.
    """

    position: int
    token: int
    column: int


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One sequence for the model, with all logits that are read from it.

    Attributes:
        ids: tokens, and soft slots as negative ids; for a seq2seq model the decoder's, which are tokens only.
        reads: the logits to read.
        token_type_ids: the token type of each id; None where all are 0.
        states: groups of positions whose hidden states are read as well, and averaged in each.
        source: the encoder's ids for a seq2seq model, soft slots included; empty for other models.
        source_state: positions in `source` whose states of the encoder are read instead, and averaged.
    """

    ids: tuple[int, ...]
    reads: tuple[LogitRead, ...]
    token_type_ids: tuple[int, ...] | None = None
    states: tuple[tuple[int, ...], ...] = ()
    source: tuple[int, ...] = ()
    source_state: tuple[int, ...] = ()

    @property
    def positions(self) -> list[int]:
        """All positions whose logits are read, in order."""
        return sorted({read.position for read in self.reads})


class Plan(ABC):
    """A way to score label words: the sequences that the model runs on, and the logits to read.

    Attributes:
        words: token ids of each label word.
        normalised: whether the reads are log-probabilities over the whole vocabulary. Where all words are read at the
            same positions the normaliser is the same for all of them; raw scores then compare as well, and the
            vocabulary-sized product is spared.
    """

    words: tuple[tuple[int, ...], ...]
    normalised: bool

    @property
    def n_columns(self) -> int:
        """Number of sums that are read for a prompt."""
        return len(self.words)

    @abstractmethod
    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The sequences of a prompt."""

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """Upper bound of the sequences of a prompt in one forward pass."""
        return len(self.model_inputs(prompt))

    def packed_length(self, prompt: EncodedPrompt) -> int:
        """Upper bound of the tokens of a prompt's sequences with those before the first mask counted once."""
        left = len(prompt.left)
        return left + sum(len(model_input.ids) - left for model_input in self.model_inputs(prompt))


class ChoicePlan(Plan):
    """Score the words of each prompt, its `choices`: those of every other prompt may differ.

    Columns beyond the words of a prompt stay without reads.
    """

    normalised = True

    def __init__(self, most: int, plan: Callable[[Sequence[tuple[int, ...]]], Plan]):
        """Plan for up to `most` words; `plan` makes the plan for the words of one prompt."""
        self.words = ((),) * most
        self._plan = lru_cache(4096)(plan)

    def _of(self, prompt: EncodedPrompt) -> Plan:
        return self._plan(prompt.choices)

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The sequences of a prompt for its own words."""
        return self._of(prompt).model_inputs(prompt)

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """Upper bound of these sequences."""
        return self._of(prompt).max_inputs(prompt)

    def packed_length(self, prompt: EncodedPrompt) -> int:
        """Upper bound of their tokens with those before the mask counted once."""
        return self._of(prompt).packed_length(prompt)


# the sequences of each prompt -> the sums of their reads in nats, shape (batch, columns)
Reader: TypeAlias = Callable[[Sequence[Sequence[ModelInput]]], Tensor]


class AdaptivePlan(Plan):
    """A plan with several forward passes, in which later sequences depend on earlier logits."""

    @abstractmethod
    def scores(self, prompts: Sequence[EncodedPrompt], first: Tensor, read: Reader) -> Tensor:
        """Scores of all words in nats, shape (batch, words).

        Args:
            prompts: encoded prompts.
            first: the sums read from their `model_inputs`, shape (batch, columns).
            read: runs further forward passes.
        """


def last_before(prompt: EncodedPrompt) -> int:
    """The position before the first mask, from which a causal model predicts the mask.

    Raises:
        EncodingError: nothing comes before the mask.
    """
    if not prompt.left:
        raise EncodingError(NOTHING_BEFORE_MASK)
    return len(prompt.left) - 1


def late_positions(prompt: EncodedPrompt, model_input: ModelInput) -> tuple[int, ...]:
    """Positions in a sequence of a prompt of the field on which vectors at a later layer depend.

    Of a causal model the field stands before the mask, so that the length of what fills the mask does not matter.
    """
    ids = model_input.source or model_input.ids
    longer = len(ids) - len(prompt) - 1
    return tuple(at + longer if at > len(prompt.left) else at for at in prompt.late_positions)


def token_type_ids_of(prompt: EncodedPrompt, length: int) -> tuple[int, ...] | None:
    """The token types of a prompt whose first mask is replaced by `length` ids, which have the mask's type."""
    if prompt.token_type_ids is None:
        return None
    types, mask = prompt.token_type_ids, len(prompt.left)
    return types[:mask] + types[mask : mask + 1] * length + types[mask + 1 :]


Conjunction: TypeAlias = tuple[tuple[int, ...], ...]


def fill_mask(prompt: EncodedPrompt, ids: tuple[int, ...]) -> EncodedPrompt:
    """Replace the first of several masks by ids.

    >>> fill_mask(EncodedPrompt((5,), (8,), {}, between=((6,), (7,))), (1, 2))
    EncodedPrompt(left=(5, 1, 2, 6), right=(8,), cut={}, token_type_ids=None, dropped=0, between=((7,),))
    """
    chunk, *between = prompt.between
    token_type_ids = token_type_ids_of(prompt, len(ids))
    return replace(prompt, left=prompt.left + ids + chunk, between=tuple(between), token_type_ids=token_type_ids)
