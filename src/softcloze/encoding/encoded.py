"""What encoding takes besides examples, and what it produces."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Answer: TypeAlias = str | Mapping[str, str]
"""The label word in the mask's place; of a template with named masks, the word of each by its name."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A labelled example to be shown in the context.

    Attributes:
        values: of its fields, as `Template.read_fields` gives them.
        word: the label word that stands in the mask's place, or that of each named mask.
    """

    values: Mapping[str, object]
    word: Answer


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """One example as the model will see it, split at the mask, or at each of several.

    Ids from 0 are tokens. Negative ids are soft slots: -1 is row 0 of the soft vectors, -2 row 1 and so on.
    What goes in the place of a mask (mask tokens, or the tokens of a label word) is decided by scoring.

    Attributes:
        left: ids before the mask, the first of several.
        right: ids after it, the last of several.
        cut: tokens that truncation took from each field; only fields that lost some are listed.
        types: the token type of every id and of every mask, counted once, in order; None where there is only one
            segment, or the tokenizer knows no token types.
        dropped: demonstrations left out because they did not fit, the first ones first.
        between: ids between each mask and the next; empty where there is only one.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    cut: Mapping[str, int]
    token_type_ids: tuple[int, ...] | None = None
    dropped: int = 0
    between: tuple[tuple[int, ...], ...] = ()

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The ids before, between and after the masks: one piece more than there are masks."""
        return self.left, *self.between, self.right

    def __len__(self) -> int:
        """Tokens and soft slots, masks not counted."""
        return sum(map(len, self.chunks))


@dataclass(frozen=True, slots=True)
class Truncation:
    """What did not fit of some examples.

    Attributes:
        rows: examples in all.
        rows_cut: those of which something was left out.
        tokens: tokens cut from each field, in all rows together; only fields that lost some are listed.
        demonstrations: demonstrations left out, in all rows together.
    """

    rows: int
    rows_cut: int
    tokens: Mapping[str, int]
    demonstrations: int


def summarise_cuts(prompts: Sequence[EncodedPrompt]) -> Truncation:
    """Add up what was cut from each of `prompts`.

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
    """One token of an encoded prompt with what it comes from, for people to look at.

    Attributes:
        token: the token as its tokenizer spells it; "" for soft slots.
        kind: "special" (added by the tokenizer, or a tag such as <sep>), "literal" (label words of <options>
            included), "field", "soft", "mask" or "demo".
        name: the field's, soft block's or mask's name, else "".
        kept: whether it survived truncation.
    """

    token: str
    kind: str
    name: str
    kept: bool
