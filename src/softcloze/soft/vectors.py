"""The trainable vectors of soft slots."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from softcloze.encoding import CompiledBlock
from softcloze.errors import ParameterError


class SoftVectors(nn.Module):
    """One trainable vector per soft slot, in float32, in the space of the input embeddings.

    Attributes:
        weight: the vectors of all blocks in order, shape (soft, width).
        blocks: the soft blocks of the template, with the rows of `weight` that belong to each.

    Source:
        Lester et al., EMNLP 2021, arXiv:2104.08691; at any position of the template as in P-tuning
        (Liu et al. 2021, arXiv:2103.10385), without its reparameterisation.
    """

    def __init__(self, blocks: Sequence[CompiledBlock], weight: Tensor):
        """Wrap initial vectors.

        Args:
            blocks: the soft blocks of the compiled template.
            weight: initial values, shape (soft, width).
        """
        super().__init__()
        self.blocks = tuple(blocks)
        self.weight = nn.Parameter(weight.detach().to(torch.float32).clone())

    def by_block(self) -> dict[str, Tensor]:
        """Vectors by block key, each of shape (count, width), detached and on the CPU."""
        weight = self.weight.detach().cpu()
        return {block.key: weight[block.start : block.start + block.count].contiguous() for block in self.blocks}

    @classmethod
    def from_blocks(cls, blocks: Sequence[CompiledBlock], vectors: Mapping[str, Tensor]) -> Self:
        """Make soft vectors from the vectors of each block, as `by_block` returns them.

        Raises:
            ParameterError: a block is missing, is not in the template, or has another length.
        """
        expected = {block.key: block.count for block in blocks}
        lengths = {key: len(tensor) for key, tensor in vectors.items()}
        if expected != lengths:
            raise ParameterError(f"the template has soft blocks of lengths {expected}, the vectors are for {lengths}")
        return cls(blocks, torch.cat([vectors[block.key] for block in blocks]))

    def validate_gradient(self) -> None:
        """Raise ParameterError if a vector has no gradient, so that it cannot be trained.

        Raises:
            ParameterError: the scores do not depend on a vector; names it and its block.
        """
        gradient = self.weight.grad
        reached = torch.zeros(len(self.weight), dtype=torch.bool)
        if gradient is not None:
            reached = (gradient != 0).any(-1).cpu()
        for block in self.blocks:
            missing = [row - block.start for row in block.rows if not reached[row]]
            if missing:
                raise ParameterError(
                    f"vectors {missing} of soft block {block.key!r} get no gradient: nothing that is scored "
                    "depends on them. In a causal model a soft slot has to be before the mask, or before some "
                    "text after the mask"
                )
