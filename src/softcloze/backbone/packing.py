"""Pack sequences with a common prefix into one, under a tree-shaped attention mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, takewhile

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

# tokens in one tree: each is compared with all the others, although it sees few of them
MAX_TREE_TOKENS = 256
# size of the tree of a sequence that is longer by itself, as a multiple of its length: the branches of several words
BRANCHING = 1.25
# share of their tokens that sequences without a cached prefix have to save by packing
MIN_SAVING = 0.1


@dataclass(frozen=True, slots=True)
class Packing:
    """Sequences packed together: those after one cached prefix form a tree, in which each id sees its ancestors.

    Attributes:
        ids: the ids of each tree, each after its parent.
        depths: the number of ancestors of each id, shape (trees, longest tree).
        visible: which ids of its tree an id sees, itself included, shape (trees, longest tree, longest tree); padding
            sees itself.
        prefix_index: for each tree the index of its prefix.
        tree_index: for each sequence the index of its tree, shape (sequences,).
        node_index: for each id of a sequence its index in the tree, shape (sequences, longest sequence).
    """

    ids: tuple[tuple[int, ...], ...]
    depths: Tensor
    visible: Tensor
    prefix_index: tuple[int, ...]
    tree_index: Tensor
    node_index: Tensor


def pack(sequences: Sequence[Sequence[int]], prefix_index: Sequence[int], capacity: int) -> Packing:
    """Pack sequences, each of which follows a prefix.

    Args:
        sequences: ids.
        prefix_index: for each sequence the index of its prefix.
        capacity: ids in one tree; none of the sequences is longer.

    >>> packing = pack([(7, 8), (5,), (7, 9)], [3, 4, 3], capacity=4)
    >>> packing.ids, packing.prefix_index, packing.node_index.tolist()
    (((7, 8, 9), (5,)), (3, 4), [[0, 1], [0, 0], [0, 2]])
    >>> packing.visible[0].int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    # of each tree, an id and the index of its parent -> its own index
    trees: list[dict[tuple[int, int], int]] = []
    tree_prefixes: list[int] = []
    open_tree: dict[int, int] = {}  # after each prefix
    tree_index, node_index = [], []
    for sequence, prefix in zip(sequences, prefix_index, strict=True):
        index = open_tree.get(prefix)
        if index is None or len(trees[index]) + len(sequence) - _known_ids(trees[index], sequence) > capacity:
            index = open_tree[prefix] = len(trees)
            trees.append({})
            tree_prefixes.append(prefix)
        tree, node, path = trees[index], -1, []
        for token in sequence:
            node = tree.setdefault((token, node), len(tree))
            path.append(node)
        tree_index.append(index)
        node_index.append(torch.tensor(path))
    visible = _ancestors(trees)
    return Packing(
        tuple(tuple(token for token, _ in tree) for tree in trees),
        visible.sum(-1) - 1,
        visible,
        tuple(tree_prefixes),
        torch.tensor(tree_index),
        pad_sequence(node_index, batch_first=True),
    )


def _known_ids(tree: Mapping[tuple[int, int], int], sequence: Sequence[int]) -> int:
    """Number of ids at the start of a sequence that a tree has already."""
    node = -1
    for count, token in enumerate(sequence):
        if (token, node) not in tree:
            return count
        node = tree[token, node]
    return len(sequence)


def pack_evenly(sequences: Sequence[Sequence[int]], capacity: int) -> Packing:
    """Pack sequences without a cached prefix into as few trees of similar size as `capacity` allows.

    Neighbours that share more than all do, such as those of one prompt with several words, stay in one tree.

    >>> pack_evenly([(7, 8), (7, 9, 5), (7, 6), (7, 9)], capacity=4).ids
    ((7, 8, 6), (7, 9, 5))
    >>> pack_evenly([(7, 8), (7, 8)], capacity=2).ids
    ((7, 8),)
    >>> pack_evenly([(7, 8, 1), (7, 8, 2), (7, 9, 1), (7, 9, 2)], capacity=4).ids
    ((7, 8, 1, 2), (7, 9, 1, 2))
    """
    shared = shared_prefix(sequences)
    known = _known_from_previous(sequences)
    rest = sum(len(sequence) - max(shared, ids) for sequence, ids in zip(sequences, known, strict=True))
    trees = max(1, -(-rest // max(1, capacity - shared)))  # `rest` is 0 where all sequences are the same
    # in turn, for prompts may come sorted by length
    prompt = accumulate(ids <= shared for ids in known)
    return pack(sequences, [i % trees for i in prompt], capacity)


def worth_packing(sequences: Sequence[Sequence[int]]) -> bool:
    """Return True if sequences without a cached prefix save enough by computing their common ids once."""
    shared = shared_prefix(sequences)
    saved = sum(max(shared, ids) for ids in _known_from_previous(sequences)[1:])
    return saved > MIN_SAVING * sum(map(len, sequences))


def _known_from_previous(sequences: Sequence[Sequence[int]]) -> list[int]:
    """Number of ids with which each sequence and the one before it begin; 0 for the first.

    >>> _known_from_previous([(7, 8), (7, 9), (7, 9, 5)])
    [0, 1, 2]
    """
    return [0, *(shared_prefix(pair) for pair in pairwise(sequences))]


def shared_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Number of ids with which all sequences begin.

    >>> shared_prefix([(7, 8, 9), (7, 8), (7, 8, 5)])
    2
    """
    return sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, zip(*sequences, strict=False)))


def _ancestors(trees: Sequence[Mapping[tuple[int, int], int]]) -> Tensor:
    """The ids that each id of each tree sees; padding sees itself, since attention over nothing is NaN."""
    visible = torch.eye(max(map(len, trees)), dtype=torch.bool).repeat(len(trees), 1, 1)
    for mask, tree in zip(visible, trees, strict=True):
        for (_, parent), node in tree.items():
            if parent >= 0:
                mask[node] |= mask[parent]
    return visible
