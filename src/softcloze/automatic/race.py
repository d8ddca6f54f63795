"""Successive halving of proposals: all of them on some examples, the better half on twice as many, and so on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softcloze.automatic.budget import Budget
from softcloze.automatic.feature_store import FeatureStore
from softcloze.automatic.proposals import Proposal
from softcloze.automatic.trials import Task, Trial, hard_trials, soft_trial
from softcloze.prompt import Prompt

FIRST = 96  # examples of the first round, or more for many labels
OF_EACH_LABEL = 8
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
        self.trials: dict[Proposal, list[Trial]] = {}
        self.left_out = 0

    @property
    def task(self) -> Task:
        """The task, its examples in the order of all trials."""
        return self._task

    def run(self, proposals: Sequence[Proposal], soft: int) -> list[Trial]:
        """Run the rounds that the budget allows, at least the first one for one proposal.

        Returns the trials of the proposals that were judged in the last of them, without a limit by all examples.

        Args:
            proposals: the proposals.
            soft: number of the best proposals with label words for which a soft prompt is trained at the end.
        """
        everything = len(self._task.examples)
        first = max(FIRST, OF_EACH_LABEL * (int(self._task.targets.max()) + 1))
        racing, finished = list(proposals), list[Proposal]()
        sizes = round_sizes(everything, first)
        for number, size in enumerate(sizes):
            judged: list[Proposal] = []
            for proposal in racing:
                # the best one takes the time of this round, others only what is left once they are read to the end
                count, upto = self._count(proposal), everything if judged else size
                rounds = sizes[number:] if judged else [size]
                seconds = self._budget.reading(upto - count) + sum(map(self._budget.fitting, rounds))
                if (judged or number) and not self._budget.allows(seconds):
                    if not judged:
                        break
                    self.left_out += number == 0
                    continue
                self._judge(proposal, size)
                judged.append(proposal)
                self._on_trial(best_of([trial for other in judged for trial in self.trials[other]]))
            if not judged:
                break
            judged.sort(key=lambda proposal: best_of(self.trials[proposal]).log_loss)
            finished, racing = judged, judged[: -(-len(judged) // 2)]
        read = len(self.trials[finished[0]][0].targets)
        for proposal in [proposal for proposal in finished if proposal.has_words and read == everything][:soft]:
            hard = self.trials[proposal][0].prompt
            if not isinstance(hard, Prompt) or not self._budget.allows(self._budget.reading(SOFT_PASSES * everything)):
                continue
            if (trained := soft_trial(self._task, hard, self._budget)) is not None:
                self.trials[proposal].append(trained)
                self._on_trial(best_of([trial for other in finished for trial in self.trials[other]]))
        return [trial for proposal in finished for trial in self.trials[proposal]]

    def _count(self, proposal: Proposal) -> int:
        return len(self._features[proposal]) if proposal in self._features else 0

    def _judge(self, proposal: Proposal, size: int) -> None:
        """Compute the features of the first `size` examples, as far as they are not known, and run the trials."""
        count, started = self._count(proposal), self._budget.elapsed
        task, compiled = self._task, proposal.compiled
        of_labels = compiled.encode_labels() if not count else []
        features = self._store.features(compiled, [*compiled.encode(task.examples[count:size]), *of_labels])
        if not count:
            self._features[proposal], self._label_features[proposal] = features[:0], features[size:]
        self._features[proposal] = torch.cat([self._features[proposal], features[: size - count]])
        read = self._budget.elapsed
        self.trials[proposal] = hard_trials(
            task.first(size), proposal, self._features[proposal], self._label_features[proposal]
        )
        self._budget.judged(size - count, read - started, size, self._budget.elapsed - read)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the least log loss."""
    return min(trials, key=lambda trial: trial.log_loss)


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
