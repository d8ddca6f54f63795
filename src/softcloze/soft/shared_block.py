"""A soft block that several tasks share, each with a change of rank one."""

import torch
from torch import Tensor, nn


class SharedBlock(nn.Module):
    """The input embeddings of a shared block for one task: vectors ∘ (1 + slots · components).

    The second factor starts from zero, so that every task starts with the shared vectors.

    Attributes:
        key: name of the block.
        vectors: the shared vectors, shape (count, width); one parameter of all tasks.
        slots: the factor of each slot, shape (count, 1).
        components: the factor of each component, shape (1, width).

    Source:
        Multitask prompt tuning (MPT): Wang et al., ICLR 2023, arXiv:2303.02861, section 3.2. There the change is the
        whole factor, slots · components; with 1 added, the shared vectors are a prompt of their own.
    """

    def __init__(self, key: str, vectors: nn.Parameter, generator: torch.Generator):
        """Draw the factors of a task.

        Args:
            key: name of the block.
            vectors: the shared vectors, kept as they are given.
            generator: source of randomness, on the CPU.
        """
        super().__init__()
        self.key = key
        self.vectors = vectors
        count, width = vectors.shape
        self.slots = nn.Parameter(torch.randn(count, 1, generator=generator))
        self.components = nn.Parameter(torch.zeros(1, width))

    @property
    def factors(self) -> list[nn.Parameter]:
        """The parameters of this task alone."""
        return [self.slots, self.components]

    def forward(self) -> Tensor:
        """The vectors of the task, shape (count, width)."""
        return self.vectors * (1 + self.slots * self.components)
