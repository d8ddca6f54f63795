"""What several prompts begin with, found on their ids: a tree in which each shared beginning stands once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from softcloze.backbone import shared_beginning

WORTH = 16  # tokens that a shared beginning has to spare; a pass costs about as much by itself
LEVELS = 8  # of beginnings one behind the other; each keeps its keys and values while those behind it are read


@dataclass(slots=True)
class Beginning:
    """Ids that several rows have in common, behind those that more rows have in common.

    Attributes:
        ids: what it adds to the beginning before it.
        end: ids up to here, those before it included.
        level: beginnings before it.
        longer: the beginnings that go on from here.
        rows: numbers of the rows that share nothing more.
    """

    ids: tuple[int, ...] = ()
    end: int = 0
    level: int = 0
    longer: list["Beginning"] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


def shared_beginnings(rows: Sequence[tuple[int, ...]], times: Sequence[int]) -> Beginning:
    """The tree of shared beginnings that are worth a pass of their own.

    Args:
        rows: ids.
        times: how often each is read.

    Returns:
        An empty beginning, which all rows have.

    >>> text, other = tuple(range(20)), tuple(range(20, 40))
    >>> tree = shared_beginnings([(*text, 1, 2), (*other, 3), (*text, 3), (*other, 1), (7,)], [1] * 5)
    >>> tree.rows, [(longer.ids[0], longer.end, longer.rows) for longer in tree.longer]
    ([4], [(20, 20, [1, 3]), (0, 20, [2, 0])])
    """
    tree = Beginning()
    waiting = [(tree, sorted(range(len(rows)), key=rows.__getitem__))]
    while waiting:
        beginning, members = waiting.pop()
        if sum(times[row] for row in members) < 2 or beginning.level == LEVELS:
            beginning.rows += members
            continue
        first, last = rows[members[0]], rows[members[-1]]
        # what the first and the last in order have in common, all have
        end = beginning.end + shared_beginning([first[beginning.end :], last[beginning.end :]])
        ways = _ways(rows, members, end)
        ended = ways.pop(0) if len(rows[members[0]]) == end else []
        # rows that go the same way from here may share this as part of a longer beginning of their own
        if (end - beginning.end) * (sum(times[row] for row in ended) + len(ways) - 1) >= WORTH:
            longer = Beginning(first[beginning.end : end], end, beginning.level + 1)
            beginning.longer.append(longer)
            beginning = longer
        beginning.rows += ended
        waiting += [(beginning, own) for own in ways]
    return tree


def _ways(rows: Sequence[tuple[int, ...]], members: Sequence[int], at: int) -> list[list[int]]:
    """Members, in order, that have the same id here; first those that end before."""
    return [list(own) for _, own in groupby(members, lambda row: rows[row][at : at + 1])]
