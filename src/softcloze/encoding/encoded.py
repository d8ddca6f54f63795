"""Inputs and results of encoding: demonstrations, encoded prompts and truncation counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

MaskWords: TypeAlias = str | Mapping[str, str]
"""The label word at the mask, or a given answer; for a template with named masks, a mapping from mask name to word."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A labelled example for the context.

    Attributes:
        values: its field values, as `Template.read_fields` returns them.
        word: the label word at the mask, or at each named mask.
    """

    values: Mapping[str, object]
    word: MaskWords


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """One encoded example, split at the mask or at each of several masks.

    Ids from 0 are tokens. Negative ids are soft slots: -1 is row 0 of the soft vectors, -2 is row 1 and so on.
    The masks themselves are not stored: scoring fills each with mask tokens or with the tokens of a label word.

    Attributes:
        left: ids before the first mask, or before the answer; all ids of an encoder whose decoder writes the answer.
        right: ids after the last mask.
        cut: tokens that truncation removed, by field; only fields that lost some.
        token_type_ids: token type of each id and, once, of each mask, in order; None if the prompt has one segment or
            the tokenizer has no token types.
        dropped: number of demonstrations left out by truncation, from the first on.
        between: ids between each mask and the next; empty for a single mask.
        emptied: whether truncation removed all tokens of the fields.
        field_positions: positions of the tokens of fields outside demonstrations, in order, a mask counted as one
            position; empty unless `CompiledTemplate.encode` was asked for them.
        field_ids: token ids of the fields that soft slots depend on, without those that truncation removed or that
            demonstrations have.
        late_positions: positions of the tokens of the field on whose states a soft slot at a later layer depends,
            counted as `field_positions`; empty for none.
        answer: token ids of the given answer and its end, which the model writes next; empty for none.
        choices: token ids of the words that this prompt alone is scored with; empty where all prompts share them.
        choice_lengths: divisors of their scores; empty for none.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    cut: Mapping[str, int]
    token_type_ids: tuple[int, ...] | None = None
    dropped: int = 0
    between: tuple[tuple[int, ...], ...] = ()
    emptied: bool = field(default=False, repr=False)
    field_positions: tuple[int, ...] = field(default=(), repr=False)
    field_ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    late_positions: tuple[int, ...] = field(default=(), repr=False)
    answer: tuple[int, ...] = field(default=(), repr=False)
    choices: tuple[tuple[int, ...], ...] = field(default=(), repr=False)
    choice_lengths: tuple[int, ...] = field(default=(), repr=False)

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The ids before, between and after the masks: one chunk more than masks."""
        return self.left, *self.between, self.right

    def __len__(self) -> int:
        """Number of tokens and soft slots, without masks."""
        return sum(map(len, self.chunks))


@dataclass(frozen=True, slots=True)
class Truncation:
    """Truncation counts over a set of examples.

    Attributes:
        rows: number of examples.
        rows_cut: number of examples that lost tokens or demonstrations.
        tokens: tokens removed from all examples, by field; only fields that lost some.
        demonstrations: demonstrations left out of all examples.
    """

    rows: int
    rows_cut: int
    tokens: Mapping[str, int]
    demonstrations: int


def summarise_cuts(prompts: Sequence[EncodedPrompt]) -> Truncation:
    """Add up the truncation of `prompts`.

    >>> summarise_cuts([EncodedPrompt((5,), (), {}), EncodedPrompt((5,), (), {"text": 3}, dropped=1)])
    Truncation(rows=2, rows_cut=1, tokens={'text': 3}, demonstrations=1)
    """
    tokens: Counter[str] = Counter()
    for prompt in prompts:
        tokens.update(prompt.cut)
    return Truncation(
        rows=len(prompts),
        rows_cut=sum(bool(prompt.cut or prompt.dropped) for prompt in prompts),
        tokens=dict(tokens),
        demonstrations=sum(prompt.dropped for prompt in prompts),
    )


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """One token of an encoded prompt and its origin, for display.

    Attributes:
        token: the token as the tokenizer writes it; "" for a soft slot.
        kind: "special" (added by the tokenizer, or a tag such as <sep>), "literal" (including the words of <options>),
            "field", "soft", "mask", "demo", "turn" (the frame of a chat turn, with its special tokens), "answer" (its
            position) or "stop" (the tokens that end it).
        name: name of the field, soft block or mask, or role of the turn; else "".
        kept: whether it survived truncation.
    """

    token: str
    kind: str
    name: str
    kept: bool
