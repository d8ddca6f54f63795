"""The members of the result and their weights: prompts, and beside them a probe on sentence embeddings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softcloze.automatic.selection import choose_trials
from softcloze.automatic.trials import Trial
from softcloze.prompt.combination import WeightedMean, equal_weights

PROBE_SHARE = 0.5  # weight of the probe beside prompts


class Choice(NamedTuple):
    """Trials, and the weights of the mean of their log-probabilities."""

    trials: list[Trial]
    combination: WeightedMean

    @property
    def log_probabilities(self) -> NDArray[np.float64]:
        """Of the labels of each example that the members did not learn from, in nats, shape (examples, labels)."""
        return self.combination.log_probabilities(np.stack([trial.log_probabilities for trial in self.trials]))

    @property
    def log_loss(self) -> float:
        """Mean log loss in nats."""
        first = self.trials[0]
        losses = -self.log_probabilities[np.arange(len(first.targets)), first.targets]
        return float((first.weights * losses).mean())


def choose_members(prompts: Sequence[Trial], probe: Trial | None, most: int) -> Choice:
    """Choose the members of the result.

    They are the choice of least log loss among these: what `choose_trials` chooses among all, and among the prompts,
    with equal weights; and these prompts beside a probe with half of the weight. A probe and a prompt err on different
    examples, so that the better of the two alone is seldom the best.

    Args:
        prompts: at least one.
        probe: a linear layer on sentence embeddings, if there is one.
        most: number of members, at most.
    """
    if probe is None or most == 1:
        return _equal(choose_trials(prompts if probe is None else [*prompts, probe], most))
    members = choose_trials(prompts, most - 1)
    weights = [(1 - PROBE_SHARE) / len(members)] * len(members) + [PROBE_SHARE]
    choices = (
        _equal(choose_trials(prompts, most)),
        _equal(choose_trials([*prompts, probe], most)),
        Choice([*members, probe], WeightedMean(tuple(weights), "log_probabilities")),
    )
    return min(choices, key=lambda choice: choice.log_loss)


def _equal(trials: list[Trial]) -> Choice:
    return Choice(trials, WeightedMean(equal_weights(len(trials)), "log_probabilities"))
