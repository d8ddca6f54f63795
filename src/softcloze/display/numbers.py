"""Numbers in tables, and the names of soft vectors."""

from collections.abc import Sequence


def named(positions: Sequence[tuple[str, int]]) -> list[str]:
    """Names of soft vectors by block and position; of a single block by the position alone.

    >>> named([("#1", 1), ("#1", 2)]), named([("#1", 1), ("task", 1)])
    (['1', '2'], ['#1 1', 'task 1'])
    """
    several = len({block for block, _ in positions}) > 1
    return [f"{block} {position}" if several else f"{position}" for block, position in positions]


def fixed(value: float) -> str:
    """Format a number with two decimals, never as -0.00.

    >>> fixed(0.625), fixed(-0.001)
    ('0.62', '0.00')
    """
    return f"{value:z.2f}"


def percent(probability: float) -> str:
    """Format a probability as a percentage.

    >>> percent(0.1234), percent(0.00001), percent(0)
    ('12.34%', '<0.01%', '0.00%')
    """
    return "<0.01%" if 0 < probability < 0.00005 else f"{probability:.2%}"


def change(value: float) -> str:
    """Format a difference, always with its sign.

    >>> change(0.0625), change(-0.5), change(0.0)
    ('+0.062', '-0.500', '+0.000')
    """
    return f"{value:+z.3f}"
