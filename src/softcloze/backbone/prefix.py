"""What a causal model remembers of text that it has read already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the beginnings of some rows, so that only the rest has to be computed.

    Attributes:
        layers: keys and values of each layer, shape (rows, heads, length, width of a head); shorter
            beginnings are padded on the left, so that what follows stands directly behind them.
        lengths: tokens and slots in each beginning, shape (rows,), on the CPU.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    lengths: Tensor

    @property
    def padded_length(self) -> int:
        """Length of the longest beginning, to which the others are padded."""
        return int(self.layers[0][0].shape[2])

    @property
    def memory(self) -> int:
        """Size in bytes."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer)

    def rows(self, indices: Sequence[int]) -> Self:
        """The beginnings with these numbers, in this order, any of them as often as wanted."""
        if list(indices) == list(range(len(self.lengths))):  # spare the copy
            return self
        chosen = torch.tensor(indices)
        lengths = self.lengths[chosen]
        start = self.padded_length - int(lengths.max())
        device = self.layers[0][0].device
        layers = tuple((k[chosen.to(device), :, start:], v[chosen.to(device), :, start:]) for k, v in self.layers)
        return type(self)(layers, lengths)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """All beginnings of `parts`, one after the other."""
        longest = max(part.padded_length for part in parts)

        def stacked(layer: int, side: int) -> Tensor:
            tensors = [(part.layers[layer][side], longest - part.padded_length) for part in parts]
            return torch.cat([pad(tensor, (0, 0, missing, 0)) for tensor, missing in tensors])

        layers = tuple((stacked(i, 0), stacked(i, 1)) for i in range(len(parts[0].layers)))
        return cls(layers, torch.cat([part.lengths for part in parts]))

    def real(self) -> Tensor:
        """Which places are no padding, shape (rows, length)."""
        return torch.arange(self.padded_length) >= self.padded_length - self.lengths[:, None]

    def cache(self) -> DynamicCache:
        """A cache of transformers that begins with this; running a model on it leaves this as it is."""
        # no configuration: a sliding window's cache would forget what lies outside, and miscount padding
        return DynamicCache(self.layers)
