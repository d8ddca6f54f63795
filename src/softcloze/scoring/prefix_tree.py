"""The tree of prefixes that sequences share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from softcloze.backbone import shared_prefix

MIN_SAVED_TOKENS = 16  # tokens that a shared prefix has to save; a forward pass of its own costs about as much
MAX_DEPTH = 8  # shared prefixes within one another; each keeps its keys and values while those after it are computed


@dataclass(slots=True)
class PrefixNode:
    """A prefix that several sequences share, as a node of the prefix tree.

    Attributes:
        ids: the ids that it adds to its parent.
        end: number of ids up to here, those of its parents included.
        depth: number of its parents.
        children: longer prefixes that start with this one.
        members: indices of the sequences that share nothing more.
    """

    ids: tuple[int, ...] = ()
    end: int = 0
    depth: int = 0
    children: list["PrefixNode"] = field(default_factory=list)
    members: list[int] = field(default_factory=list)


def prefix_tree(
    sequences: Sequence[tuple[int, ...]], counts: Sequence[int], members: Sequence[int] | None = None, known: int = 0
) -> PrefixNode:
    """Build the tree of shared prefixes that are worth a forward pass of their own.

    Args:
        sequences: ids.
        counts: how often each sequence is computed.
        members: indices of the sequences in the tree; None for all of them.
        known: number of ids with which all of these begin, whose keys and values are computed already.

    Returns:
        The root, which has the known ids and nothing more.

    >>> text, other = tuple(range(20)), tuple(range(20, 40))
    >>> tree = prefix_tree([(*text, 1, 2), (*other, 3), (*text, 3), (*other, 1), (7,)], [1] * 5)
    >>> tree.members, [(child.ids[0], child.end, child.members) for child in tree.children]
    ([4], [(20, 20, [1, 3]), (0, 20, [2, 0])])
    """
    root = PrefixNode(end=known)
    waiting = [(root, sorted(members if members is not None else range(len(sequences)), key=sequences.__getitem__))]
    while waiting:
        node, members = waiting.pop()
        if sum(counts[i] for i in members) < 2 or node.depth == MAX_DEPTH:
            node.members += members
            continue
        first, last = sequences[members[0]], sequences[members[-1]]
        # all share the ids that the first and the last in order share
        end = node.end + shared_prefix([first[node.end :], last[node.end :]])
        branches = _branches(sequences, members, end)
        ended = branches.pop(0) if len(sequences[members[0]]) == end else []
        # sequences of the same branch may share this as part of a longer prefix of their own
        if (end - node.end) * (sum(counts[i] for i in ended) + len(branches) - 1) >= MIN_SAVED_TOKENS:
            child = PrefixNode(first[node.end : end], end, node.depth + 1)
            node.children.append(child)
            node = child
        node.members += ended
        waiting += [(node, branch) for branch in branches]
    return root


def _branches(sequences: Sequence[tuple[int, ...]], members: Sequence[int], position: int) -> list[list[int]]:
    """Members, in order, grouped by their id at a position; first those that end before it."""
    return [list(branch) for _, branch in groupby(members, lambda i: sequences[i][position : position + 1])]
