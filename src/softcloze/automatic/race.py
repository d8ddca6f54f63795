"""Successive halving of proposals: all of them on some examples, the better half on twice as many, and so on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softcloze.automatic.budget import Budget
from softcloze.automatic.feature_store import EncodedPart, FeatureStore
from softcloze.automatic.proposals import Proposal
from softcloze.automatic.selection import choose_trials
from softcloze.automatic.trials import Task, Trial, hard_trials, soft_trial
from softcloze.backbone import shared_prefix
from softcloze.prompt import Prompt

FIRST = 96  # examples of the first round, or more for many labels
OF_EACH_LABEL = 8
CHUNK = 8  # examples that are read before the clock is looked at again, at least
CHUNKS = 12  # in which the examples of a long round are read, so that batches of a fast machine are large
BEGIN_SHARE = 2 / 3  # of the budget, in which the first proposal is read
# forward passes of an example that the trainings of a soft prompt for a trial take; 25 measured with SmolLM2
SOFT_PASSES = 30


class Race:
    """Proposals, and the features of the examples by each, which are computed once.

    Attributes:
        trials: all trials of each proposal on the most examples that it was judged by.
        left_out: number of proposals that the budget left no time for.
    """

    def __init__(
        self, task: Task, budget: Budget, on_trial: Callable[[Trial], object], store: FeatureStore | None = None
    ):
        """Prepare a race.

        Args:
            task: the training examples; every label occurs at least twice.
            budget: the clock.
            on_trial: called with the best trial so far after each proposal.
            store: keeps the features for another run; None to keep none.
        """
        self._budget, self._on_trial = budget, on_trial
        self._store = store if store is not None else FeatureStore(None)
        order = balanced_order(task.targets, task.seed)
        self._task = replace(
            task,
            examples=[task.examples[i] for i in order],
            targets=task.targets[order],
            weights=task.weights[order],
        )
        self._features: dict[Proposal, Tensor] = {}
        self._label_features: dict[Proposal, Tensor] = {}
        self._tokens: dict[Proposal, float] = {}  # of an example
        self._racing: list[Proposal] = []
        self.trials: dict[Proposal, list[Trial]] = {}
        self.left_out = 0

    @property
    def task(self) -> Task:
        """The task, its examples in the order of all trials."""
        return self._task

    def run(self, proposals: Sequence[Proposal], soft: int, members: int) -> list[Trial]:
        """Run the rounds that the budget allows, at least a part of the first one for one proposal.

        Returns the trials of the proposals that were judged in the last of them, without a limit by all examples.

        Args:
            proposals: the proposals.
            soft: number of the best proposals with label words for which a soft prompt is trained at the end.
            members: number of trials that the result averages, at most.
        """
        everything = len(self._task.examples)
        sizes = round_sizes(everything, max(FIRST, OF_EACH_LABEL * (int(self._task.targets.max()) + 1)))
        self._racing, finished = list(proposals), list[Proposal]()
        if self._budget.is_limited and (begun := self._begin(proposals[0], sizes[0])) < sizes[0]:
            sizes = [begun]
        for number, size in enumerate(sizes):
            judged: list[Proposal] = []
            for proposal in self._racing:
                # the best one takes the time of this round, others only what is left once they are read to the end
                if self._judge(proposal, size, sizes[number + 1 :] if judged else []):
                    judged.append(proposal)
                elif not judged:
                    break
            if not judged:
                break
            judged.sort(key=lambda proposal: best_of(self.trials[proposal]).log_loss)
            finished, self._racing = judged, judged[: -(-len(judged) // 2)]
        read = len(self.trials[finished[0]][0].targets)
        self._racing = [proposal for proposal in proposals if proposal not in self.trials]
        finished += [proposal for proposal in self._racing if self._judge(proposal, read)]
        self.left_out = sum(proposal not in self.trials for proposal in proposals)
        if self._budget.is_limited and read < everything:
            finished, read = self._read_on(finished, read, members)
        finished.sort(key=lambda proposal: best_of(self.trials[proposal]).log_loss)
        for proposal in [proposal for proposal in finished if proposal.has_words and read == everything][:soft]:
            hard, seconds = self.trials[proposal][0].prompt, self._reading(proposal, SOFT_PASSES * everything)
            if not isinstance(hard, Prompt) or not self._budget.allows(seconds, step=seconds / 4):
                continue
            if (trained := soft_trial(self._task, hard, self._budget)) is not None:
                self._note(proposal, [*self.trials[proposal], trained])
        return [trial for proposal in finished for trial in self.trials[proposal]]

    def _read_on(self, judged: list[Proposal], read: int, members: int) -> tuple[list[Proposal], int]:
        """Judge what the result would be made of by as many further examples as the time that is left allows.

        Returns the proposals that were judged by the most examples, and the number of these.

        Args:
            judged: proposals, all by the same examples.
            read: number of these.
            members: number of trials that the result averages, at most.
        """
        chosen = choose_trials([trial for proposal in judged for trial in self.trials[proposal]], members)
        self._racing = [proposal for proposal in judged if any(trial in chosen for trial in self.trials[proposal])]
        count, everything = read, len(self._task.examples)
        while count < everything:
            size = min(everything, count + chunk_of(count))
            readers: list[Proposal] = []  # of those that are read together, the first one
            for proposal in self._racing:
                if self._count(proposal) == count and not any(proposal in self._together(one) for one in readers):
                    readers.append(proposal)
            step = sum(self._reading(proposal, size - count) for proposal in readers)
            if not self._budget.allows(step + len(self._racing) * self._budget.fitting(size), step):
                break
            for proposal in readers:
                self._read(proposal, size)
            count = size
        if count == read:
            return judged, read
        for proposal in self._racing:
            self._fit(proposal, count)
        return self._racing, count

    def _begin(self, proposal: Proposal, size: int) -> int:
        """Compute the features of the first `size` examples, or of fewer if they would take most of the budget.

        Returns the number of examples that were read: at least two of each label.
        """
        fewest = 1 + max(int(np.flatnonzero(self._task.targets == label)[1]) for label in np.unique(self._task.targets))
        while (count := self._count(proposal)) < size:
            step = self._reading(proposal, chunk_of(size))
            if count >= fewest and not self._budget.allows(step, step, BEGIN_SHARE):
                break
            self._read(proposal, size if count else min(size, fewest))  # these tell how long the texts take
        return count

    def _judge(self, proposal: Proposal, size: int, further: Sequence[int] = ()) -> bool:
        """Run the trials of a proposal on the first `size` examples, and report the best trial of all.

        Returns False if the time does not suffice, also for the rounds that follow, with `further` examples in all.
        What was read is kept. The first proposal is judged in any case.
        """
        upto = further[-1] if further else size
        while True:
            count = self._count(proposal)
            seconds = self._reading(proposal, upto - count) + sum(map(self._budget.fitting, (size, *further)))
            step = self._reading(proposal, min(chunk_of(size), size - count)) + self._budget.fitting(upto)
            if self.trials and not self._budget.allows(seconds, step):
                return False
            if count >= size:
                break
            self._read(proposal, size)
        self._fit(proposal, size)
        return True

    def _fit(self, proposal: Proposal, size: int) -> None:
        """Run the trials of a proposal on the first `size` examples, which have been read."""
        started = self._budget.elapsed
        features = self._features[proposal][:size]
        trials = hard_trials(self._task.first(size), proposal, features, self._label_features[proposal])
        self._budget.fitted(size, self._budget.elapsed - started)
        self._note(proposal, trials)

    def _note(self, proposal: Proposal, trials: list[Trial]) -> None:
        """Keep the trials of a proposal, and report the best of all that were judged by as many examples."""
        self.trials[proposal] = trials
        size = len(trials[0].targets)
        self._on_trial(best_of([t for of_one in self.trials.values() for t in of_one if len(t.targets) == size]))

    def _count(self, proposal: Proposal) -> int:
        return len(self._features[proposal]) if proposal in self._features else 0

    def _together(self, proposal: Proposal) -> list[Proposal]:
        """A proposal, and those still racing that take another state of the same prompts, at no further cost."""
        if self._task.backbone.family == "seq2seq":  # the mean is of the encoder's states
            return [proposal]
        same = [
            other
            for other in self._racing
            if other is not proposal
            and other.template == proposal.template
            and self._count(other) == self._count(proposal)
        ]
        return [proposal, *same]

    def _tokens_of(self, proposal: Proposal) -> float:
        """Tokens that the model computes for an example, in the mean."""
        if proposal not in self._tokens:
            prompts = proposal.compiled.encode(self._task.examples[:CHUNK])
            backbone = self._task.backbone
            cached = shared_prefix([prompt.left for prompt in prompts]) if backbone.supports_prefix_cache else 0
            tokens = [proposal.compiled.scorer.cost(prompt, cached) for prompt in prompts]
            self._tokens[proposal] = sum(tokens) / len(tokens)
        return self._tokens[proposal]

    def _reading(self, proposal: Proposal, examples: int) -> float:
        """Expected seconds of the forward passes of so many examples."""
        return self._budget.reading(max(map(self._tokens_of, self._together(proposal))) * examples)

    def _read(self, proposal: Proposal, size: int) -> None:
        """Compute the features of the next examples up to `size`, a chunk of them at most."""
        together = self._together(proposal)
        count, started = self._count(proposal), self._budget.elapsed
        chunk = self._task.examples[count : min(size, count + chunk_of(size))]
        parts = [EncodedPart(one.compiled, one.compiled.encode(chunk)) for one in together]
        of_labels = [EncodedPart(one.compiled, one.compiled.encode_labels() if not count else []) for one in together]
        features = self._store.features([*parts, *of_labels])
        for i, one in enumerate(together):
            if not count:
                self._features[one], self._label_features[one] = features[i][:0], features[len(together) + i]
            self._features[one] = torch.cat([self._features[one], features[i]])
        tokens = max(map(self._tokens_of, together)) * (len(chunk) + len(of_labels[0].encoded))
        self._budget.read(tokens, self._budget.elapsed - started)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the least log loss."""
    return min(trials, key=lambda trial: trial.log_loss)


def chunk_of(size: int) -> int:
    """Number of examples of a round of `size` that are read at once.

    >>> chunk_of(96), chunk_of(6000)
    (8, 500)
    """
    return max(CHUNK, size // CHUNKS)


def round_sizes(examples: int, first: int) -> list[int]:
    """Numbers of examples of the rounds: each twice as many, until all are in.

    >>> round_sizes(500, 96), round_sizes(40, 96)
    ([96, 192, 384, 500], [40])
    """
    sizes = [first]
    while sizes[-1] < examples:
        sizes.append(2 * sizes[-1])
    return [*sizes[:-1], examples]


def balanced_order(targets: NDArray[np.int_], seed: int) -> NDArray[np.int_]:
    """An order of examples of which each beginning has as many of each label as possible.

    >>> balanced_order(np.array([0, 0, 0, 0, 1, 1]), seed=0)[:4].tolist()
    [3, 5, 2, 4]
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(targets))
    turns = np.empty(len(targets), dtype=int)
    for label in np.unique(targets):
        members = shuffled[targets[shuffled] == label]
        turns[members] = np.arange(len(members))
    return shuffled[np.argsort(turns[shuffled], kind="stable")]
