"""Key/value cache of prefixes for causal models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from softcloze.files import cache_dir

if TYPE_CHECKING:
    from softcloze.backbone.attention import PrefixKVCache


@dataclass(frozen=True)
class PrefixCache:
    """Keys and values of prefixes, so that only the tokens that follow them have to be computed.

    Attributes:
        layers: keys and values of each layer, shape (prefixes, heads, length, head width); shorter prefixes are padded
            on the left, so that the tokens that follow come directly after them.
        lengths: tokens and soft slots in each prefix, shape (prefixes,), on the CPU.
        in_file: whether keys and values are in a file.
        capacity: free positions at the end of `length` for the tokens that follow; a forward pass fills them.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    lengths: Tensor
    in_file: bool = False
    capacity: int = 0

    @property
    def padded_length(self) -> int:
        """Length of the longest prefix, to which the others are padded."""
        return int(self.layers[0][0].shape[2]) - self.capacity

    @property
    def bytes(self) -> int:
        """Memory of keys and values."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer)

    @classmethod
    def empty(cls, like: Self, prefixes: int, longest: int, memory: int) -> Self:
        """Allocate a cache that `put` fills part by part.

        A cache larger than `memory` is kept in an unnamed file in the cache folder, which the system holds in memory
        as far as it can. The file disappears with its last reference, also when the process is killed.

        Args:
            like: a part with some of the prefixes.
            prefixes: their number.
            longest: length of the longest.
            memory: bytes.
        """
        shapes = [[(prefixes, tensor.shape[1], longest, tensor.shape[3]) for tensor in layer] for layer in like.layers]
        dtype, device = like.layers[0][0].dtype, like.layers[0][0].device
        sizes = [math.prod(shape) for layer in shapes for shape in layer]
        in_file = sum(sizes) * dtype.itemsize > memory
        if in_file:
            cache_dir().mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=cache_dir()) as file:
                file.truncate(sum(sizes) * dtype.itemsize)
                storage = torch.from_numpy(np.memmap(file, np.uint8, "r+")).view(dtype)
        else:
            storage = torch.zeros(sum(sizes), dtype=dtype, device=device)
        parts = iter(storage.split(sizes))
        layers = tuple((next(parts).view(keys), next(parts).view(values)) for keys, values in shapes)
        return cls(layers, torch.zeros(prefixes, dtype=torch.long), in_file)

    def put(self, indices: Sequence[int], part: Self) -> None:
        """Write the prefixes of `part` to these indices."""
        start = self.padded_length - part.padded_length
        for layer, new_layer in zip(self.layers, part.layers, strict=True):
            for tensor, new in zip(layer, new_layer, strict=True):
                tensor[indices, :, start:] = new.to(tensor.device)
        self.lengths[indices] = part.lengths

    def select(self, indices: Sequence[int], capacity: int = 0) -> Self:
        """Copy the prefixes with these indices, in this order, repeated as given, with `capacity` free positions."""
        if not capacity and list(indices) == list(range(len(self.lengths))):  # spare the copy
            return self
        chosen = torch.tensor(indices)
        lengths = self.lengths[chosen]
        longest = int(lengths.max())
        start = self.padded_length - longest
        chosen = chosen.to(self.layers[0][0].device)

        def copy(tensor: Tensor) -> Tensor:
            copied = tensor.new_empty(len(chosen), tensor.shape[1], longest + capacity, tensor.shape[3])
            torch.index_select(tensor[:, :, start : start + longest], 0, chosen, out=copied[:, :, :longest])
            return copied

        layers = tuple((copy(keys), copy(values)) for keys, values in self.layers)
        return type(self)(layers, lengths, capacity=capacity)

    def first(self, length: int) -> Self:
        """The first `length` positions of all prefixes, which are of one length; shares memory with this."""
        layers = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self.layers)
        return type(self)(layers, torch.full_like(self.lengths, length))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the prefixes of `parts`."""
        longest = max(part.padded_length for part in parts)

        def stacked(layer: int, side: int) -> Tensor:
            tensors = [(part.layers[layer][side], longest - part.padded_length) for part in parts]
            return torch.cat([pad(tensor, (0, 0, missing, 0)) for tensor, missing in tensors])

        layers = tuple((stacked(i, 0), stacked(i, 1)) for i in range(len(parts[0].layers)))
        return cls(layers, torch.cat([part.lengths for part in parts]))

    def mask(self) -> Tensor:
        """Positions that are not padding, shape (prefixes, length)."""
        return torch.arange(self.padded_length) >= self.padded_length - self.lengths[:, None]

    def cache(self, device: torch.device) -> "PrefixKVCache":
        """A transformers cache that starts with these prefixes; the next forward pass has to fill its capacity."""
        from softcloze.backbone.attention import PrefixKVCache, PrefixKVLayer

        # no configuration: a cache with a sliding window would forget tokens outside it, and miscount padding
        cache = PrefixKVCache()
        cache.layers += [
            PrefixKVLayer(keys.to(device), values.to(device), self.capacity) for keys, values in self.layers
        ]
        return cache
