"""Keys and values of many prefixes, in which what several begin with is computed once."""

from collections.abc import Callable, Sequence

from softcloze.backbone import Backbone, PrefixCache, run_length_bucketed
from softcloze.scoring.prefix_tree import PrefixNode, prefix_tree


def prefill_each(
    backbone: Backbone, sequences: Sequence[tuple[int, ...]], put: Callable[[list[int], PrefixCache], None]
) -> None:
    """Compute the keys and values of prefixes, without gradient, along their prefix tree.

    Args:
        backbone: a model with `supports_prefix_cache`.
        sequences: ids of each prefix, at least one.
        put: takes the indices of some prefixes, and their keys and values.
    """

    def visit(nodes: Sequence[PrefixNode], prefix: PrefixCache | None) -> None:
        """Compute all members of some nodes and of their children; `prefix` holds the nodes' keys and values."""
        ends = prefix.lengths.tolist() if prefix is not None else [0] * len(nodes)

        def prefill(rest: Sequence[Sequence[int]], parents: Sequence[int]) -> PrefixCache:
            return backbone.prefill(rest, None, prefix.select(parents) if prefix is not None else None)

        members = [(i, at) for at, node in enumerate(nodes) for i in node.members]
        rests = [sequences[i][ends[at] :] for i, at in members]

        def fill(chosen: list[int]) -> None:
            part = prefill([rests[k] for k in chosen], [members[k][1] for k in chosen])
            put([members[k][0] for k in chosen], part)

        run_length_bucketed([*map(len, rests)], lambda k: len(sequences[members[k][0]]), fill, backbone.token_budget)
        children = [(child, at) for at, node in enumerate(nodes) for child in node.children]

        def descend(chosen: list[int]) -> None:
            nodes = [children[k][0] for k in chosen]
            visit(nodes, prefill([node.ids for node in nodes], [children[k][1] for k in chosen]))

        lengths = [len(child.ids) for child, _ in children]
        run_length_bucketed(lengths, lambda k: children[k][0].end, descend, backbone.token_budget)

    # each has an id of its own, for a forward pass has at least one
    visit([prefix_tree([ids[:-1] for ids in sequences], [1] * len(sequences))], None)
