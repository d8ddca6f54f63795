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
from softcloze.scoring.field_vectors import with_field_vectors
from softcloze.soft import SoftVectors

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
    ):
        """Compute all that does not depend on the vectors.

        Args:
            scorer: computes features with the frozen backbone.
            prompts: the encoded training examples.
            soft: the vectors; None if the template has none.
            cache_memory: bytes of keys and values that stay in memory; the rest go to a file.
            field_states: mean states of the fields of the examples by their token ids, for slots that depend on them.
        """
        self._scorer, self._prompts = scorer, prompts
        self._field_states = field_states if field_states is not None else {}
        self._soft = soft if soft is not None and soft.trained else None
        self._most = len(prompts)  # examples in a part
        self.sample = list(range(len(prompts)))[:32]
        self.frozen: PrefixCache | None = None
        with scorer.backbone.frozen():
            if soft is not None:
                soft.to(scorer.backbone.device)
            if soft is not None and soft.trained:
                late = any(block.late for block in soft.blocks)  # which need the states of the field
                self.frozen = scorer.cache_prefixes(prompts, cache_memory) if not late else None
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
        self, rows: list[int], parameters: Sequence[nn.Parameter], learn: Callable[[list[int]], Result]
    ) -> list[Result]:
        """Run a function that adds gradients on each part of a batch; the gradients add up to those of the batch.

        An accelerator that runs out of memory gets half of the examples at a time from there on.

        Args:
            rows: indices of the examples.
            parameters: what gets gradients. They lose those of a part that ran out of memory.
            learn: takes the indices of a part.

        Returns:
            What `learn` returned for each part.

        Raises:
            OutOfMemoryError: a single example does not fit into memory.
        """
        waiting, results = self._within(self._parts(rows)), []
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
        return self._scorer.batch([self._prompts[i] for i in rows], inputs, self.frozen, rows).cpu()

    def without_gradient(self, rows: list[int]) -> Tensor:
        """Features of the examples `rows` without gradient, computed in batches of similar length."""
        if self._soft is None:
            return self._fixed[rows]
        with self._scorer.backbone.frozen(), torch.no_grad():
            return compute_features(self._scorer, [self._prompts[i] for i in rows], self.inputs_of(self._soft))

    def _parts(self, rows: list[int]) -> list[list[int]]:
        """Split a batch into micro-batches of similar length."""
        backbone = self._scorer.backbone
        if self._soft is None or backbone.device.type != "cpu":  # an accelerator is fastest with whole batches
            return [rows]
        costs = {row: self._scorer.cost(self._prompts[row], self._known[row]) for row in rows}
        return micro_batches(costs, self._shared, backbone.activation_bytes)

    def _within(self, parts: list[list[int]]) -> list[list[int]]:
        """Split parts that have more examples than fit into memory."""
        return [piece.tolist() for part in parts for piece in np.array_split(part, -(-len(part) // self._most))]


def _copy(gradient: Tensor | None) -> Tensor | None:
    return gradient.clone() if gradient is not None else None
