"""All verbalizers by kind, and how a saved one is read."""

from collections.abc import Mapping
from typing import Any

from softcloze.verbalizer.ordinal import OrdinalVerbalizer
from softcloze.verbalizer.verbalizer import Verbalizer, VerbalizerError

KINDS: dict[str, type[Verbalizer]] = {"words": Verbalizer, "ordinal": OrdinalVerbalizer}


def as_card(verbalizer: Verbalizer) -> dict[str, Any]:
    """A verbalizer as plain data for JSON.

    Raises:
        VerbalizerError: it is of a kind of somebody else.

    >>> card = as_card(OrdinalVerbalizer([1, 2, 3], low="差", high="好"))
    >>> card["kind"], card["labels"], card["low"], card["high"]
    ('ordinal', [1, 2, 3], ['差'], ['好'])
    """
    for kind, cls in KINDS.items():
        if type(verbalizer) is cls:
            return {"kind": kind, **verbalizer.as_card()}
    raise VerbalizerError(f"{type(verbalizer).__name__} cannot be saved; expected one of {', '.join(KINDS)}")


def from_card(card: Mapping[str, Any]) -> Verbalizer:
    """Read what `as_card` wrote, before or after it went through JSON.

    Raises:
        VerbalizerError: a kind that there is not.
    """
    if card["kind"] not in KINDS:
        raise VerbalizerError(f"verbalizers of kind {card['kind']!r} are unknown; expected one of {', '.join(KINDS)}")
    return KINDS[card["kind"]].from_card(card)
