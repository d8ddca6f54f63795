"""Which tokens to give up when a prompt is too long."""

from collections.abc import Sequence


def shares(lengths: Sequence[int], budget: int) -> list[int]:
    """How many tokens each field keeps: the longest give first, down to the length of the next.

    Args:
        lengths: tokens of each field.
        budget: tokens that all of them may keep together, from 0.

    Returns:
        Tokens kept by each, in the order given. They add up to `budget`, or to all tokens if those fit.

    >>> shares([3, 10, 20], budget=15)
    [3, 6, 6]
    >>> shares([3, 4], budget=15)
    [3, 4]
    """
    kept = [0] * len(lengths)
    ascending = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for done, i in enumerate(ascending):
        kept[i] = min(lengths[i], budget // (len(lengths) - done))
        budget -= kept[i]
    return kept


def whole_characters(spans: Sequence[tuple[int, int]], kept: int) -> int:
    """The largest number of leading tokens up to `kept` that splits no character in two.

    Args:
        spans: start and end of each token in the text; the bytes of one character share its span.
        kept: tokens to keep at most.

    >>> whole_characters([(0, 1), (1, 2), (1, 2), (1, 2)], kept=3)
    1
    """
    while 0 < kept < len(spans) and spans[kept][0] < spans[kept - 1][1]:
        kept -= 1
    return kept
