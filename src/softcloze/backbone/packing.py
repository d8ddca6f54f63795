"""Rows that go on from one beginning as one row for the model, in which they share what else they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

# tokens of different rows in one tree at most: each is compared with all the others, although it sees few of them
PACKED = 256
# share of their tokens that rows have to spare by being packed where nothing was read before
SPARED = 0.1


@dataclass(frozen=True, slots=True)
class Packing:
    """Rows packed together: those behind one beginning form a tree of ids, and each id sees its own way to the root.

    Attributes:
        ids: of each tree, every id behind the one that it follows.
        depths: how many ids each follows, shape (trees, widest).
        sees: which ids of its tree an id sees, itself among them, shape (trees, widest, widest); padding sees itself.
        beginnings: the number of the beginning of each tree.
        tree: the number of each row's tree, shape (rows,).
        place: where in its tree each id of a row stands, shape (rows, longest).
    """

    ids: tuple[tuple[int, ...], ...]
    depths: Tensor
    sees: Tensor
    beginnings: tuple[int, ...]
    tree: Tensor
    place: Tensor


def pack(rows: Sequence[Sequence[int]], behind: Sequence[int], room: int) -> Packing:
    """Pack rows, each of them behind the beginning with the number that stands beside it.

    Args:
        rows: ids.
        behind: for each row the number of its beginning.
        room: tokens of rows, none of them longer, that go into one tree.

    >>> packing = pack([(7, 8), (5,), (7, 9)], [3, 4, 3], room=4)
    >>> packing.ids, packing.beginnings, packing.place.tolist()
    (((7, 8, 9), (5,)), (3, 4), [[0, 1], [0, 0], [0, 2]])
    >>> packing.sees[0].int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    # of each tree, an id and the place that it follows -> its own place
    trees: list[dict[tuple[int, int], int]] = []
    beginnings: list[int] = []
    open_tree: dict[int, int] = {}  # behind each beginning
    tree_of, places = [], []
    for row, own in zip(rows, behind, strict=True):
        number = open_tree.get(own)
        if number is None or len(trees[number]) + len(row) - _known(trees[number], row) > room:
            number = open_tree[own] = len(trees)
            trees.append({})
            beginnings.append(own)
        tree, at, way = trees[number], -1, []
        for token in row:
            at = tree.setdefault((token, at), len(tree))
            way.append(at)
        tree_of.append(number)
        places.append(torch.tensor(way))
    sees = _seen(trees)
    return Packing(
        tuple(tuple(token for token, _ in tree) for tree in trees),
        sees.sum(-1) - 1,
        sees,
        tuple(beginnings),
        torch.tensor(tree_of),
        pad_sequence(places, batch_first=True),
    )


def _known(tree: Mapping[tuple[int, int], int], row: Sequence[int]) -> int:
    """How many ids at the beginning of a row are in a tree already."""
    at = -1
    for count, token in enumerate(row):
        if (token, at) not in tree:
            return count
        at = tree[token, at]
    return len(row)


def pack_evenly(rows: Sequence[Sequence[int]], room: int) -> Packing:
    """Pack rows that nothing was read for, in as few trees of like size as there is room for.

    Args:
        rows: ids.
        room: as for `pack`.

    >>> pack_evenly([(7, 8), (7, 9, 5), (7, 6), (7, 9)], room=4).ids
    ((7, 8, 6), (7, 9, 5))
    >>> pack_evenly([(7, 8), (7, 8)], room=2).ids
    ((7, 8),)
    """
    shared = shared_prefix(rows)
    own = sum(len(row) - shared for row in rows)  # none where all rows are the same
    trees = max(1, -(-own // max(1, room - shared)))
    # in turn, for rows may come sorted by length
    return pack(rows, [i % trees for i in range(len(rows))], room)


def worth_packing(rows: Sequence[Sequence[int]]) -> bool:
    """Whether rows that nothing was read for spare enough by sharing what they begin with."""
    return len(rows) > 1 and shared_prefix(rows) * (len(rows) - 1) > SPARED * sum(map(len, rows))


def shared_prefix(rows: Sequence[Sequence[int]]) -> int:
    """How many ids all rows begin with.

    >>> shared_prefix([(7, 8, 9), (7, 8), (7, 8, 5)])
    2
    """
    return sum(1 for _ in takewhile(lambda own: len(set(own)) == 1, zip(*rows, strict=False)))


def _seen(trees: Sequence[Mapping[tuple[int, int], int]]) -> Tensor:
    """What each id of each tree sees; padding sees itself, since an attention over nothing is no number."""
    sees = torch.eye(max(map(len, trees)), dtype=torch.bool).repeat(len(trees), 1, 1)
    for own, tree in zip(sees, trees, strict=True):
        for (_, before), at in tree.items():
            if before >= 0:
                own[at] |= own[before]
    return sees
