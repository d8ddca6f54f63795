"""Score any number of prompts without gradient; shared prefixes are computed once."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from softcloze.backbone import PrefixCache, SoftInputs, run_length_bucketed
from softcloze.calibration.scores import non_finite_rows
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.field_vectors import field_states, with_field_vectors
from softcloze.scoring.jobs import Job, KnownPrefix, shared_sequences
from softcloze.scoring.prefix_tree import PrefixNode, prefix_tree
from softcloze.scoring.scorer import Scorer, batch_features, joined_vocab_ids

# cached tokens that cost about as much as one computed token: they are copied and attended to, which is far less
CACHED_PER_TOKEN = 4
MOST_CONFIRMED = 8  # prompts without finite scores that are scored once more by themselves; then all are taken for such


class _PrefixTreeRun:
    """Score jobs of one backbone along their prefix tree, without gradient."""

    def __init__(self, jobs: Sequence[Job], soft: SoftInputs | None):
        """Prepare at least one job; `soft` are the vectors of all of them."""
        self._jobs, self._soft = jobs, soft
        self._backbone = jobs[0].scorer.backbone
        self._keys = [job.scorer.batch_key for job in jobs]
        scorers: dict[Hashable, dict[Scorer, None]] = {}
        for key, job in zip(self._keys, jobs, strict=True):
            scorers.setdefault(key, {})[job.scorer] = None
        self._vocab_ids = {key: joined_vocab_ids([*group]) for key, group in scorers.items()}

    def run(self) -> None:
        with torch.inference_mode():
            late = self._soft is not None and self._soft.late
            if late or not self._backbone.supports_prefix_cache:
                self._visit([PrefixNode(members=list(range(len(self._jobs))))], None)
                return
            # the last id before the mask is computed together with the mask
            sequences = [job.scorer.shareable(job.prompt) for job in self._jobs]
            # a packed prompt is computed once for all its words anyway
            counts = [1 if job.scorer.packs(job.prompt) else job.scorer.max_inputs(job.prompt) for job in self._jobs]
            whole: list[int] = []
            after: dict[tuple[int, int], tuple[PrefixCache, list[int]]] = {}
            for i, job in enumerate(self._jobs):
                if job.known is None:
                    whole.append(i)
                    continue
                start = (id(job.known), job.known_length)
                if start not in after:
                    after[start] = job.known.cache.first(job.known_length), []
                after[start][1].append(i)
            if whole:
                self._visit([prefix_tree(sequences, counts, whole)], None)
            if after:
                caches, members = zip(*after.values(), strict=True)
                lengths = [length for _, length in after]
                roots = [prefix_tree(sequences, counts, *root) for root in zip(members, lengths, strict=True)]
                self._visit(roots, PrefixCache.join(caches))

    def _visit(self, nodes: Sequence[PrefixNode], prefix: PrefixCache | None) -> None:
        """Score all jobs of some nodes and of their children; `prefix` holds the nodes' keys and values."""
        placed = [(job, i) for i, node in enumerate(nodes) for job in node.members]
        for key, vocab_ids in self._vocab_ids.items():
            self._score([pair for pair in placed if self._keys[pair[0]] == key], vocab_ids, prefix)
        children = [(child, i) for i, node in enumerate(nodes) for child in node.children]

        def prefill(chosen: list[int]) -> None:
            next_nodes = [children[i][0] for i in chosen]
            parents = prefix.select([children[i][1] for i in chosen]) if prefix is not None else None
            self._visit(next_nodes, self._backbone.prefill([node.ids for node in next_nodes], self._soft, parents))

        lengths = [len(child.ids) for child, _ in children]
        run_length_bucketed(lengths, lambda i: children[i][0].end, prefill, self._backbone.token_budget)

    def _score(self, placed: Sequence[tuple[int, int]], vocab_ids: Tensor | None, prefix: PrefixCache | None) -> None:
        """Score jobs with the same batch key, each after the prefix with the index beside it."""
        jobs, nodes = [self._jobs[job] for job, _ in placed], [node for _, node in placed]
        cached = prefix.lengths.tolist() if prefix is not None else [0]
        rest = [job.length - cached[node] for job, node in zip(jobs, nodes, strict=True)]
        capacity = self._backbone.packing_capacity(prefix) if prefix is not None else 0
        bundles = _bundles(nodes, rest, capacity)

        def score(chosen: list[int]) -> None:
            members = [i for bundle in chosen for i in bundles[bundle]]
            batch = [jobs[i] for i in members]
            scorers, prompts = [job.scorer for job in batch], [job.prompt for job in batch]
            outputs = batch_features(scorers, prompts, vocab_ids, self._soft, prefix, [nodes[i] for i in members])
            words, states = (features.cpu() for features in outputs)
            for i, job in enumerate(batch):
                count = len(job.scorer.words)
                job.features[:count] = words[i, :count]
                if job.scorer.states:
                    job.features[count:] = states[i]

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


def compute_features(scorer: Scorer, prompts: Sequence[EncodedPrompt], soft: SoftInputs | None) -> Tensor:
    """Features of any number of prompts of one scorer, shape (prompts, features): see `score_together`."""
    return score_together([Member(scorer, prompts, soft)])[0]


class Member(NamedTuple):
    """One of several scorers whose prompts are scored together.

    Attributes:
        scorer: the scorer.
        prompts: encoded prompts.
        soft: the soft vectors, or None where the template has none.
        known: what most of the prompts begin with, if it is computed already.
    """

    scorer: Scorer
    prompts: Sequence[EncodedPrompt]
    soft: SoftInputs | None
    known: KnownPrefix | None = None


def score_together(members: Sequence[Member]) -> list[Tensor]:
    """Features of any number of prompts of several members, as `compute_together`, all of them finite.

    Raises:
        NonFiniteError: scores of a prompt are NaN or infinite, except for minus infinity for an impossible word.
    """
    results = compute_together(members)
    for member, result in zip(members, results, strict=True):
        vectors = member.soft.tensors if member.soft is not None else {}
        member.scorer.backbone.validate_scores(result, vectors)
    return results


def compute_together(members: Sequence[Member]) -> list[Tensor]:
    """Features of any number of prompts of several members, without gradient.

    A causal model computes the ids with which several sequences begin once, whether they belong to one prompt with
    several label words, to one template around several texts, or to one text in the templates of several members. They
    are found on the ids, in which the soft slots of members differ, and those of prompts where they depend on a field.
    Members that take hidden states alone read them from the sequence of another member with the same ids.
    Prompts of all members share batches of similar length.

    Args:
        members: with the same backbone.

    Returns:
        For each member the features of its prompts as of `Scorer.batch`, on the CPU, shape (prompts, features). Those
        of a prompt may be NaN or infinite.
    """
    results = _features(members)
    for member, result in zip(members, results, strict=True):
        confirmed = 0
        for row in non_finite_rows(result.numpy()):
            # alone, for the numbers of another row in the same packed sequence may have spoilt those of this one
            (alone,) = _features([member._replace(prompts=[member.prompts[row]])])
            result[row] = alone[0]
            confirmed += len(non_finite_rows(alone.numpy()))
            if confirmed == MOST_CONFIRMED:
                break
    return results


def _features(members: Sequence[Member]) -> list[Tensor]:
    """The features of one run, in which a prompt that is not finite may spoil others."""
    results = [torch.empty(len(member.prompts), member.scorer.n_features, dtype=torch.float32) for member in members]
    jobs: list[Job] = []
    softs: list[SoftInputs] = []
    first_slot = 0
    states: dict[tuple[int, ...], Tensor] = {}  # of the texts of fields, which members share
    for member, result in zip(members, results, strict=True):
        backbone, soft = member.scorer.backbone, member.soft
        if soft is not None:
            soft = replace(soft, field_states={**states, **soft.field_states})
            states = field_states(backbone, member.prompts, soft)
            soft = replace(soft, field_states=states)
        prompts, soft = with_field_vectors(backbone, member.prompts, soft)
        for prompt, features in zip(prompts, result, strict=True):
            known = member.known
            length = known.length_in(member.scorer, prompt) if known is not None else 0
            job = with_slots_from(first_slot, prompt), member.scorer, features
            jobs.append(Job(*job, known if length else None, length))
        if soft is not None:
            softs.append(soft)
            first_slot += len(soft)
    if jobs:
        with shared_sequences(jobs) as run:
            _PrefixTreeRun(run, SoftInputs.join(softs) if softs else None).run()
    return results


def with_slots_from(first: int, prompt: EncodedPrompt) -> EncodedPrompt:
    """The prompt with its soft slots counted from `first`."""
    if not first:
        return prompt
    left, *between, right = (tuple(i - first if i < 0 else i for i in chunk) for chunk in prompt.chunks)
    return replace(prompt, left=left, right=right, between=tuple(between))
