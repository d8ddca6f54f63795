"""Features of the training examples, and the parts of a batch in which a step computes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import OutOfMemoryError, Tensor, nn

from softcloze.backbone import PrefixCache, SoftInputs, micro_batches, shared_prefix
from softcloze.encoding import EncodedPrompt
from softcloze.scoring import Scorer, compute_features
from softcloze.scoring.field_vectors import states_of_texts, with_field_vectors
from softcloze.soft import SoftVectors
from softcloze.training.settings import ResolvedSettings
from softcloze.training.task import TrainingTask

Result = TypeVar("Result")


class TrainingFeatures:
    """Features of the training examples: computed at each step, or once if no soft slot is trained.

    Attributes:
        sample: indices of examples by which the scale of features is estimated.
        frozen: keys and values of everything before the first soft slot; None if there are none.
    """

    def __init__(
        self,
        scorer: Scorer,
        prompts: Sequence[EncodedPrompt],
        soft: SoftVectors | None,
        cache_memory: int,
        field_states: Mapping[tuple[int, ...], Tensor] | None = None,
        *,
        part_size: int | None = None,
        processes: int = 1,
    ):
        """Compute all that does not depend on the vectors.

        Of several processes, or with a `part_size`, each computes the prefix of an example when it first needs it.

        Args:
            scorer: computes features with the frozen backbone.
            prompts: the encoded training examples.
            soft: the vectors; None if the template has none.
            cache_memory: bytes of keys and values that stay in memory; the rest go to a file.
            field_states: mean states of the fields of the examples by their token ids, for slots that depend on them.
            part_size: examples in a forward pass, at most; None for as many as fit into memory.
            processes: number of processes that share a batch.
        """
        self._scorer, self._prompts = scorer, prompts
        self._field_states = field_states if field_states is not None else {}
        self._soft = soft if soft is not None and soft.trained else None
        self._most = len(prompts)  # examples in a part
        self._part_size, self._processes = part_size, processes
        self._missing = set[int]()  # prompts whose prefix is computed when it is needed
        self._shared = 0
        self.sample = list(range(len(prompts)))[:32]
        self.frozen: PrefixCache | None = None
        with scorer.backbone.frozen():
            if soft is not None:
                soft.to(scorer.backbone.device)
            if soft is not None and soft.trained:
                late = any(block.late for block in soft.blocks)  # which need the states of the field
                lazily = processes > 1 or part_size is not None
                self.frozen = scorer.cache_prefixes(prompts, cache_memory, lazily=lazily) if not late else None
                self._missing = {*range(len(prompts))} if lazily and self.frozen is not None else set()
                with torch.no_grad():
                    self._below = scorer.cache_below(prompts, self.inputs_of(soft), soft.first_layer, cache_memory)
                self._known = self.frozen.lengths.tolist() if self.frozen is not None else [0] * len(prompts)
                packed = self.frozen is None and scorer.backbone.can_pack and not late
                with torch.no_grad():
                    separate, _ = with_field_vectors(scorer.backbone, prompts, self.inputs_of(soft))
                self._shared = shared_prefix([prompt.left for prompt in separate]) if packed else 0
            else:
                with torch.no_grad():
                    inputs = self.inputs_of(soft) if soft is not None else None
                    self._fixed = compute_features(scorer, prompts, inputs)

    def inputs_of(self, soft: SoftVectors) -> SoftInputs:
        """The vectors for a forward pass, differentiable, with the states of the fields of the examples."""
        return replace(soft.inputs(), field_states=self._field_states)

    def learn(
        self, parts: Sequence[list[int]], parameters: Sequence[nn.Parameter], learn: Callable[[list[int]], Result]
    ) -> list[Result]:
        """Run a function that adds gradients on each part of a batch; the gradients add up to those of the batch.

        An accelerator that runs out of memory gets half of the examples at a time from there on.

        Args:
            parts: indices of the examples of each part, as of `parts`.
            parameters: what gets gradients. They lose those of a part that ran out of memory.
            learn: takes the indices of a part.

        Returns:
            What `learn` returned for each part, of a part that was divided for each piece.

        Raises:
            OutOfMemoryError: a single example does not fit into memory.
        """
        waiting, results = self._within(parts), []
        while waiting:
            part, gradients = waiting[0], [_copy(parameter.grad) for parameter in parameters]
            try:
                results.append(learn(part))
            except OutOfMemoryError:
                if len(part) == 1:
                    raise
                self._most = len(part) // 2
            else:
                del waiting[0]
                continue
            # after the error is gone, and with it the tensors of the part
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            waiting = self._within(waiting)
        return results

    def of(self, rows: list[int]) -> Tensor:
        """Features of the examples `rows`, shape (rows, features), differentiable with respect to the soft vectors."""
        if self._soft is None:
            return self._fixed[rows]
        inputs = replace(self.inputs_of(self._soft), below=self._below)
        if self.frozen is not None and (missing := [row for row in rows if row in self._missing]):
            self._scorer.fill_prefixes(self.frozen, self._prompts, missing)
            self._missing.difference_update(missing)
        return self._scorer.batch([self._prompts[i] for i in rows], inputs, self.frozen, rows).cpu()

    def without_gradient(self, rows: list[int]) -> Tensor:
        """Features of the examples `rows` without gradient, computed in batches of similar length."""
        if self._soft is None:
            return self._fixed[rows]
        size = self._part_size if self._part_size is not None else max(1, len(rows))
        inputs = self.inputs_of(self._soft)
        with self._scorer.backbone.frozen(), torch.no_grad():
            batches = [[self._prompts[i] for i in rows[first : first + size]] for first in range(0, len(rows), size)]
            return torch.cat([compute_features(self._scorer, batch, inputs) for batch in batches])

    def parts(self, rows: list[int]) -> list[list[int]]:
        """Split a batch into micro-batches of similar length, one for each process at least."""
        backbone = self._scorer.backbone
        size, activation_bytes, at_least = self._part_size, 0, self._processes
        if size is not None:
            at_least = -(-len(rows) // size)
        elif self._soft is not None and backbone.device.type == "cpu":  # an accelerator is fastest with whole batches
            activation_bytes = backbone.activation_bytes
        if not activation_bytes and at_least == 1:
            return [rows]
        costs = dict.fromkeys(rows, 1)
        if self._soft is not None:
            costs = {row: self._scorer.cost(self._prompts[row], self._known[row]) for row in rows}
        return micro_batches(costs, self._shared, activation_bytes, at_least)

    def _within(self, parts: Sequence[list[int]]) -> list[list[int]]:
        """Split parts that have more examples than fit into memory."""
        return [piece.tolist() for part in parts for piece in np.array_split(part, -(-len(part) // self._most))]


def _copy(gradient: Tensor | None) -> Tensor | None:
    return gradient.clone() if gradient is not None else None


def features_of_task(
    task: TrainingTask, chosen: Sequence[int], settings: ResolvedSettings, memory: int, seed: int, count: int
) -> TrainingFeatures:
    """Compute the features of a task, and start the networks of its slots with from=.

    Args:
        task: the task.
        chosen: indices of its training examples.
        settings: options of training.
        memory: bytes of keys and values that stay in memory.
        seed: seed of the networks.
        count: number of processes that share a batch.
    """
    field_states: dict[tuple[int, ...], Tensor] = {}
    if task.soft is not None:
        backbone, fields = task.scorer.backbone, task.soft.state_fields
        texts = (prompt.field_ids[name] for prompt in task.prompts for name in fields)
        field_states = states_of_texts(backbone, texts)
        states = {}
        for name in fields:
            of_field = [ids for i in chosen if (ids := task.prompts[i].field_ids[name])]
            empty = torch.empty(0, backbone.mean_state_width)
            states[name] = torch.stack([field_states[ids] for ids in of_field]) if of_field else empty
        task.soft.start_networks(settings.from_width, backbone.embedding_rms, seed, states)
    return TrainingFeatures(
        task.scorer,
        task.prompts,
        task.soft,
        memory,
        field_states,
        part_size=settings.part_size,
        processes=count,
    )
