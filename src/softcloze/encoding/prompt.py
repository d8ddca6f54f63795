"""What encoding produces."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """One example as the model will see it, split at the mask.

    Ids from 0 are tokens. Negative ids are soft slots: -1 is row 0 of the soft vectors, -2 row 1 and so on.
    What goes between `left` and `right` (mask tokens, or the tokens of a label word) is decided by scoring.

    Attributes:
        left: ids before the mask.
        right: ids after it.
        cut: tokens that truncation took from each field; only fields that lost some are listed.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    cut: Mapping[str, int]

    def __len__(self) -> int:
        """Tokens and soft slots, the mask not counted."""
        return len(self.left) + len(self.right)


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an encoded prompt with what it comes from, for people to look at.

    Attributes:
        token: the token as its tokenizer spells it; "" for soft slots.
        kind: "special" (added by the tokenizer), "literal", "field", "soft" or "mask".
        name: the field's or soft block's name, else "".
        kept: whether it survived truncation.
    """

    token: str
    kind: str
    name: str
    kept: bool
