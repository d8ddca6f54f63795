"""Score any number of prompts without gradient; shared prefixes are computed once."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby
from typing import NamedTuple, cast

import torch
from torch import Tensor

from softcloze.backbone import PrefixCache, run_length_bucketed, shared_prefix
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.plan import ModelInput, Plan
from softcloze.scoring.scorer import Scorer

MIN_SAVED_TOKENS = 16  # tokens that a shared prefix has to save; a forward pass of its own costs about as much
MAX_DEPTH = 8  # shared prefixes within one another; each keeps its keys and values while those after it are computed
# cached tokens that cost about as much as one computed token: they are copied and attended to, which is far less
CACHED_PER_TOKEN = 4


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


def prefix_tree(sequences: Sequence[tuple[int, ...]], counts: Sequence[int]) -> PrefixNode:
    """Build the tree of shared prefixes that are worth a forward pass of their own.

    Args:
        sequences: ids.
        counts: how often each sequence is computed.

    Returns:
        The root, an empty prefix.

    >>> text, other = tuple(range(20)), tuple(range(20, 40))
    >>> tree = prefix_tree([(*text, 1, 2), (*other, 3), (*text, 3), (*other, 1), (7,)], [1] * 5)
    >>> tree.members, [(child.ids[0], child.end, child.members) for child in tree.children]
    ([4], [(20, 20, [1, 3]), (0, 20, [2, 0])])
    """
    root = PrefixNode()
    waiting = [(root, sorted(range(len(sequences)), key=sequences.__getitem__))]
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


class _Job(NamedTuple):
    """A prompt to score.

    Attributes:
        prompt: the encoded prompt.
        scorer: the scorer of this prompt, which knows its cost.
        batch_scorer: the scorer of its batches: the same one, or one that was joined from several.
    """

    prompt: EncodedPrompt
    scorer: Scorer
    batch_scorer: Scorer


class _PrefixTreeRun:
    """Score jobs along their prefix tree, without gradient."""

    def __init__(self, jobs: Sequence[_Job], soft: Tensor | None, write: Callable[[list[int], Tensor], None]):
        """Score all jobs.

        Args:
            jobs: at least one, all with the same backbone.
            soft: the soft vectors, shape (soft, width).
            write: takes the indices of some jobs and their features, shape (batch, features).
        """
        self._jobs, self._soft, self._write = jobs, soft, write
        self._backbone = jobs[0].scorer.backbone
        self._scorers = list(dict.fromkeys(job.batch_scorer for job in jobs))

    def run(self) -> None:
        if self._backbone.supports_prefix_cache:
            # the last id before the mask is computed together with the mask
            sequences = [job.prompt.left[:-1] for job in self._jobs]
            root = prefix_tree(sequences, [job.scorer.max_inputs(job.prompt) for job in self._jobs])
        else:
            root = PrefixNode(members=list(range(len(self._jobs))))
        with torch.inference_mode():
            self._visit([root], None)

    def _visit(self, nodes: Sequence[PrefixNode], prefix: PrefixCache | None) -> None:
        """Score all jobs of some nodes and of their children.

        Args:
            nodes: prefixes that are computed.
            prefix: keys and values of each node; None for the root.
        """
        placed = [(job, i) for i, node in enumerate(nodes) for job in node.members]
        for scorer in self._scorers:
            self._score(scorer, [pair for pair in placed if self._jobs[pair[0]].batch_scorer is scorer], prefix)
        children = [(child, i) for i, node in enumerate(nodes) for child in node.children]

        def prefill(chosen: list[int]) -> None:
            next_nodes = [children[i][0] for i in chosen]
            parents = prefix.select([children[i][1] for i in chosen]) if prefix is not None else None
            self._visit(next_nodes, self._backbone.prefill([node.ids for node in next_nodes], self._soft, parents))

        lengths = [len(child.ids) for child, _ in children]
        run_length_bucketed(lengths, lambda i: children[i][0].end, prefill, self._backbone.token_budget)

    def _score(self, scorer: Scorer, placed: Sequence[tuple[int, int]], prefix: PrefixCache | None) -> None:
        """Score jobs, each after the prefix with the index beside it."""
        jobs, nodes = [self._jobs[job] for job, _ in placed], [node for _, node in placed]
        cached = prefix.lengths.tolist() if prefix is not None else [0]
        rest = [len(job.prompt) - cached[node] for job, node in zip(jobs, nodes, strict=True)]
        capacity = self._backbone.packing_capacity(prefix) if prefix is not None else 0
        bundles = _bundles(nodes, rest, capacity)

        def score(chosen: list[int]) -> None:
            members = [i for bundle in chosen for i in bundles[bundle]]
            prompts = [jobs[i].prompt for i in members]
            features = scorer.batch(prompts, self._soft, prefix, [nodes[i] for i in members])
            self._write([placed[i][0] for i in members], features.cpu())

        def cost(bundle: int) -> int:
            members = bundles[bundle]
            known = cached[nodes[members[0]]]
            tokens = sum(jobs[i].scorer.cost(jobs[i].prompt, known) for i in members)
            first = jobs[members[0]]
            copies = 1 + tokens // capacity if capacity else first.scorer.max_inputs(first.prompt)
            return tokens + copies * known // CACHED_PER_TOKEN

        lengths = [sum(rest[i] for i in members) for members in bundles]
        run_length_bucketed(lengths, cost, score, self._backbone.token_budget)


def _bundles(nodes: Sequence[int], lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Group indices after the same prefix whose lengths fit into `capacity` together; others stay alone.

    >>> _bundles([0, 1, 0, 0], [91, 5, 8, 9], capacity=100)
    [[0, 3], [2], [1]]
    """
    bundles: list[list[int]] = []
    left = 0
    for i in sorted(range(len(nodes)), key=lambda i: (nodes[i], -lengths[i])):
        if bundles and nodes[bundles[-1][0]] == nodes[i] and lengths[i] <= left:
            bundles[-1].append(i)
        else:
            bundles.append([i])
            left = capacity
        left -= lengths[i]
    return bundles


def compute_features(scorer: Scorer, prompts: Sequence[EncodedPrompt], soft: Tensor | None) -> Tensor:
    """Features of any number of prompts, without gradient.

    A causal model computes the ids with which several sequences begin once, whether they belong to one prompt with
    several label words or to one template around several texts.

    Args:
        scorer: the scorer of all prompts.
        prompts: encoded prompts.
        soft: the soft vectors, shape (soft, width), or None where the template has none.

    Returns:
        Features as of `Scorer.batch`, on the CPU, shape (prompts, features).
    """
    features = torch.empty(len(prompts), scorer.n_features)
    if prompts:
        jobs = [_Job(prompt, scorer, scorer) for prompt in prompts]
        _PrefixTreeRun(jobs, soft, features.__setitem__).run()
    return features


class Member(NamedTuple):
    """One of several scorers whose prompts are scored together.

    Attributes:
        scorer: the scorer.
        prompts: encoded prompts.
        soft: the soft vectors, shape (soft, width), or None where the template has none.
    """

    scorer: Scorer
    prompts: Sequence[EncodedPrompt]
    soft: Tensor | None


def score_together(members: Sequence[Member]) -> list[Tensor]:
    """Features of the prompts of several members, as `compute_features` returns them for each, without gradient.

    Prefixes are shared between members as well, such as one text in several templates. They are found on the ids, in
    which the soft slots of members differ. Prompts of different members share batches of similar length.

    Args:
        members: with the same backbone.

    Returns:
        For each member the features of its prompts, shape (prompts, features), on the CPU.
    """
    by_key: dict[Hashable, dict[Scorer, None]] = {}
    for member in members:
        by_key.setdefault(member.scorer.batch_key, {})[member.scorer] = None
    groups = {key: ScorerGroup(list(scorers)) for key, scorers in by_key.items()}
    soft, first_slots = _joined_vectors([member.soft for member in members])

    jobs: list[_Job] = []
    targets: list[tuple[Tensor, Tensor]] = []  # for each job the tensor to write to and its columns in the batch
    results = [torch.empty(len(member.prompts), member.scorer.n_features) for member in members]
    for member, first_slot, result in zip(members, first_slots, results, strict=True):
        group = groups[member.scorer.batch_key]
        owner = group.scorers.index(member.scorer)
        for prompt, features in zip(member.prompts, result, strict=True):
            jobs.append(_Job(_owned(prompt, owner, first_slot), member.scorer, group.joined))
            targets.append((features, group.columns[owner]))

    def write(indices: list[int], features: Tensor) -> None:
        for i, values in zip(indices, features, strict=True):
            target, columns = targets[i]
            target.copy_(values[columns])

    if jobs:
        _PrefixTreeRun(jobs, soft, write).run()
    return results


@dataclass(frozen=True, slots=True)
class OwnedPrompt(EncodedPrompt):
    """An encoded prompt with the index of its scorer in a `ScorerGroup`.

    Attributes:
        owner: the index.
    """

    owner: int = field(kw_only=True)


class JoinedPlan(Plan):
    """Score every `OwnedPrompt` by its own plan; the columns of all plans stand side by side."""

    def __init__(self, plans: Sequence[Plan]):
        """Join `plans`, none of which is adaptive."""
        self._plans = plans
        self.words = tuple(word for plan in plans for word in plan.words)
        self.normalised = any(plan.normalised for plan in plans)
        self._first_columns = [0, *accumulate(len(plan.words) for plan in plans)]

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The sequences of the prompt's own plan."""
        owner = cast(OwnedPrompt, prompt).owner
        first = self._first_columns[owner]
        return [
            replace(inputs, reads=tuple(replace(read, column=first + read.column) for read in inputs.reads))
            for inputs in self._plans[owner].model_inputs(prompt)
        ]


class ScorerGroup:
    """Scorers with the same `batch_key`, joined to share batches.

    Attributes:
        scorers: each of them.
        joined: one scorer for the words of all of them; an `OwnedPrompt` fills those of its own scorer.
        columns: for each scorer the indices of its features among those of `joined`.
    """

    def __init__(self, scorers: Sequence[Scorer]):
        """Join `scorers`, of one backbone."""
        self.scorers = scorers
        self.joined = _join(scorers)
        ends = list(accumulate(len(scorer.words) for scorer in scorers))
        states = range(ends[-1], self.joined.n_features)
        self.columns = [
            torch.tensor([*range(end - len(scorer.words), end), *states])
            for scorer, end in zip(scorers, ends, strict=True)
        ]


def _join(scorers: Sequence[Scorer]) -> Scorer:
    first = scorers[0]
    if len(scorers) == 1:
        return first
    lengths = [scorer.lengths or (1,) * len(scorer.words) for scorer in scorers]
    divided = any(scorer.lengths is not None for scorer in scorers)
    return Scorer(
        first.backbone,
        JoinedPlan([scorer.plan for scorer in scorers]),
        [length for divisors in lengths for length in divisors] if divided else None,
        normalised=first.normalised,
        states=first.states,
    )


def _joined_vectors(softs: Sequence[Tensor | None]) -> tuple[Tensor | None, list[int]]:
    """All soft vectors concatenated, and for each member the index of its first one."""
    lengths = [len(soft) if soft is not None else 0 for soft in softs]
    vectors = [soft for soft in softs if soft is not None]
    return (torch.cat(vectors) if vectors else None), [0, *accumulate(lengths)][:-1]


def _owned(prompt: EncodedPrompt, owner: int, first_slot: int) -> OwnedPrompt:
    """The prompt with its owner's index, its soft slots counted from `first_slot`."""
    left, *between, right = (tuple(i - first_slot if i < 0 else i for i in chunk) for chunk in prompt.chunks)
    return OwnedPrompt(left, right, prompt.cut, prompt.token_type_ids, prompt.dropped, tuple(between), owner=owner)
