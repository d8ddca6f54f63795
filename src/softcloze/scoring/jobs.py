"""Prompts to score, of which those with the same ids share a sequence."""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from softcloze.backbone import PrefixCache, shared_prefix
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.plan import States
from softcloze.scoring.scorer import Scorer


class KnownPrefix(NamedTuple):
    """The prefix of prompts, computed before.

    Attributes:
        ids: its ids, in which -1 - r is row r of the soft vectors of these prompts.
        cache: its keys and values.
    """

    ids: tuple[int, ...]
    cache: PrefixCache

    def length_in(self, scorer: Scorer, prompt: EncodedPrompt) -> int:
        """Number of its ids that a prompt begins with and that need not be computed again."""
        return shared_prefix([self.ids, scorer.shareable(prompt)])


class Job(NamedTuple):
    """A prompt to score.

    Attributes:
        prompt: the prompt.
        scorer: its scorer.
        features: the features to fill, shape (features,).
        known: the known prefix of its member; None if the prompt does not begin with any of it.
        known_length: number of its ids that the prompt begins with.
    """

    prompt: EncodedPrompt
    scorer: Scorer
    features: Tensor
    known: KnownPrefix | None
    known_length: int

    @property
    def length(self) -> int:
        """Tokens of the prompt, and those that its words add where it is packed with them."""
        scorer = self.scorer
        return scorer.packed_length(self.prompt) if scorer.packs(self.prompt) else len(self.prompt)


@contextmanager
def shared_sequences(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Have jobs that want hidden states alone read them from the sequence of another job with the same ids.

    The state at the mask and the mean of the states of one prompt then take one forward pass.

    Args:
        jobs: of one backbone. Of a seq2seq model each keeps a sequence of its own.

    Yields:
        The jobs to run in the `with` block. At its end the features of all jobs are filled.
    """
    groups: dict[Hashable, list[Job]] = {}
    for job in jobs:
        groups.setdefault(_sequence_of(job), []).append(job)
    run: list[Job] = []
    shared: list[tuple[Job, Job]] = []  # a job, and the one that is run for it
    scorers: dict[tuple[Scorer, tuple[States, ...]], Scorer] = {}
    for group in groups.values():
        first, *others = sorted(group, key=lambda job: not job.scorer.words)
        positions = _field_positions([first, *others])
        guests: list[Job] = []
        for job in others:
            has_same_fields = "mean" not in job.scorer.states or job.prompt.field_positions == positions
            (guests if has_same_fields and not job.scorer.words else run).append(job)
        if not guests:
            run.append(first)
            continue
        states = tuple(dict.fromkeys(kind for job in (first, *guests) for kind in job.scorer.states))
        key = first.scorer, states
        if key not in scorers:
            scorers[key] = first.scorer.with_states(states)
        host = _host(first, scorers[key], positions)
        shared += [(job, host) for job in (first, *guests)]
        run.append(host)
    yield run
    for job, host in shared:
        width, states = job.scorer.backbone.state_width, host.scorer.states
        starts = [len(host.scorer.words) + width * states.index(kind) for kind in job.scorer.states]
        parts = [host.features[start : start + width] for start in starts]
        job.features.copy_(torch.cat([host.features[: len(job.scorer.words)], *parts]))


def _sequence_of(job: Job) -> Hashable:
    """Equal for jobs that can share a sequence."""
    if job.scorer.backbone.family == "seq2seq":
        return id(job)
    return job.prompt.chunks, job.prompt.token_type_ids, job.scorer.states_of


def _field_positions(jobs: Sequence[Job]) -> tuple[int, ...]:
    """Positions of the tokens over which the first job that reads a mean takes it; none without such a job."""
    return next((job.prompt.field_positions for job in jobs if "mean" in job.scorer.states), ())


def _host(first: Job, scorer: Scorer, positions: tuple[int, ...]) -> Job:
    """The job that is run for the first one and its guests."""
    prompt = replace(first.prompt, field_positions=positions)
    length = first.known.length_in(scorer, prompt) if first.known is not None else 0
    return Job(prompt, scorer, torch.empty(scorer.n_features), first.known if length else None, length)
