"""The trainable vectors behind the soft slots."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from softcloze.encoding import CompiledBlock
from softcloze.errors import ParameterError


class SoftVectors(nn.Module):
    """One trainable vector per soft slot, in float32, in the space of the input embeddings.

    Attributes:
        weight: the vectors of all blocks one below the other, shape (soft, width).
        blocks: which rows belong to which block of the template.

    Source:
        Lester et al., EMNLP 2021, arXiv:2104.08691; at any place of the template as in P-tuning
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
        """Block key -> its vectors, shape (count, width), detached on the CPU."""
        weight = self.weight.detach().cpu()
        return {block.key: weight[block.start : block.start + block.count].contiguous() for block in self.blocks}

    @classmethod
    def from_blocks(cls, blocks: Sequence[CompiledBlock], vectors: Mapping[str, Tensor]) -> Self:
        """Put vectors back in the rows of their blocks.

        Raises:
            ParameterError: a block is missing, is not in the template, or has another length.
        """
        expected = {block.key: block.count for block in blocks}
        found = {key: len(tensor) for key, tensor in vectors.items()}
        if expected != found:
            raise ParameterError(f"the template has soft blocks of lengths {expected}, the vectors are for {found}")
        return cls(blocks, torch.cat([vectors[block.key] for block in blocks]))

    def check_gradient(self) -> None:
        """Refuse to go on when some slot cannot learn.

        Raises:
            ParameterError: the scores do not depend on some slot; names its block.
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
                    "depends on them. In a causal model a soft slot has to stand before the mask, or before some "
                    "text after the mask"
                )
