"""Rows that go on from one beginning as one row for the model, in which they share what else they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

# tokens of different rows in one tree at most: each is compared with all the others, although it sees few of them
PACKED = 256


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
    left: list[int] = []  # of the room of each tree
    tree_of, places = [], []
    for row, own in zip(rows, behind, strict=True):
        number = open_tree.get(own)
        if number is None or len(row) > left[number]:
            number = open_tree[own] = len(trees)
            trees.append({})
            beginnings.append(own)
            left.append(room)
        left[number] -= len(row)
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


def _seen(trees: Sequence[Mapping[tuple[int, int], int]]) -> Tensor:
    """What each id of each tree sees; padding sees itself, since an attention over nothing is no number."""
    sees = torch.eye(max(map(len, trees)), dtype=torch.bool).repeat(len(trees), 1, 1)
    for own, tree in zip(sees, trees, strict=True):
        for (_, before), at in tree.items():
            if before >= 0:
                own[at] |= own[before]
    return sees
