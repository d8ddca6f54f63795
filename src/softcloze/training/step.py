"""One step of the optimiser: learning rate, gradients of a batch in parts, clipping, update."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from softcloze.training.checks import FiniteCheck
from softcloze.training.distributed import Learnt, Processes
from softcloze.training.features import TrainingFeatures
from softcloze.training.optimised import parameter_groups
from softcloze.training.settings import ResolvedSettings, learning_rate_share
from softcloze.training.task import TrainingTask


class Optimisation:
    """The optimiser of a training, and its steps.

    Attributes:
        optimizer: AdamW, with a group of parameters for each highest step.
        unchecked: indices of the tasks whose soft slots may lack a gradient; a step of a task checks them.
    """

    def __init__(
        self,
        tasks: Sequence[TrainingTask],
        features: Sequence[TrainingFeatures],
        settings: ResolvedSettings,
        *,
        learning_rate: float,
        steps: int,
        group: Processes,
        finite: FiniteCheck,
    ):
        """Make the optimiser.

        Args:
            tasks: what is trained.
            features: the features of each task.
            settings: options of training.
            learning_rate: as for `train`.
            steps: number of steps of the whole training.
            group: the processes that share a step.
            finite: the check of losses and gradients.
        """
        self._tasks, self._features, self._settings = tasks, features, settings
        self._steps, self._group, self._finite = steps, group, finite
        groups = parameter_groups(tasks, features, learning_rate, settings)
        self._parameters = [weight for of_rate in groups for weight in of_rate["params"]]
        # no weight decay: embeddings, and weights initialised from words, have no reason to be near 0
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        self.unchecked = set(range(len(tasks)))

    def take_step(self, step: int, number: int, batch: list[int]) -> list[Learnt]:
        """Update the parameters of a task by the gradients of a batch.

        Args:
            step: index of the step in the whole training.
            number: index of the task.
            batch: indices of its examples.

        Returns:
            Loss and label scores of each part of the batch.
        """
        task, features = self._tasks[number], self._features[number]
        for of_rate in self.optimizer.param_groups:
            of_rate["lr"] = of_rate["highest"] * self.rate_share(step)
        self.optimizer.zero_grad()  # to None: weights of other tasks stay as they are
        learn_part = partial(self._learn_part, step, number, task.size(batch))
        learn_parts = partial(features.learn, parameters=self._parameters, learn=learn_part)
        learnt = self._group.learn(features.parts(batch), self._parameters, learn_parts)
        if number in self.unchecked and task.soft is not None:
            task.soft.validate_gradient()
        self.unchecked.discard(number)
        for of_rate in self.optimizer.param_groups:
            norm = nn.utils.clip_grad_norm_(of_rate["params"], self._settings.max_grad_norm)
            self._finite.validate([norm], "gradient", step)
        self.optimizer.step()
        return learnt

    def rate_share(self, step: int) -> float:
        """Share of the learning rate at a step."""
        return learning_rate_share(step, self._steps, self._settings.warmup_fraction)

    def _learn_part(self, step: int, number: int, size: int, part: list[int]) -> Learnt:
        """Add the gradients of a part of a batch, whose loss is a mean over `size` parts."""
        task = self._tasks[number]
        scores = task.label_scores(self._features[number].of(part))
        loss = task.loss(scores, part) * task.size(part)
        self._finite.validate([loss], "loss", step)
        torch.autograd.backward(loss / size)
        return Learnt(part, float(loss.detach()), scores.detach())
