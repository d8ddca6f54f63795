"""What a causal model remembers of text that it has read already."""

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
    """Keys and values of the beginnings of some rows, so that only the rest has to be computed.

    Attributes:
        layers: keys and values of each layer, shape (rows, heads, length, width of a head); shorter
            beginnings are padded on the left, so that what follows stands directly behind them.
        lengths: tokens and slots in each beginning, shape (rows,), on the CPU.
        in_file: whether keys and values are in a file.
        room: free places at the end of `length`, for what follows; filled where a model runs on this.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    lengths: Tensor
    in_file: bool = False
    room: int = 0

    @property
    def padded_length(self) -> int:
        """Length of the longest beginning, to which the others are padded."""
        return int(self.layers[0][0].shape[2]) - self.room

    @property
    def bytes(self) -> int:
        """What keys and values take."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer)

    @classmethod
    def empty(cls, like: Self, rows: int, memory: int) -> Self:
        """Room for beginnings that are read part by part, for `put` to fill.

        What takes more than `memory` is kept in a file without a name in the cache folder, of which the system holds
        in memory what it has room for. It is gone when nothing refers to it any more, also where the process is killed.

        Args:
            like: a part with the longest of them.
            rows: how many there will be.
            memory: bytes.
        """
        shapes = [[(rows, *tensor.shape[1:]) for tensor in layer] for layer in like.layers]
        kind, device = like.layers[0][0].dtype, like.layers[0][0].device
        sizes = [math.prod(shape) for layer in shapes for shape in layer]
        in_file = sum(sizes) * kind.itemsize > memory
        if in_file:
            cache_dir().mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=cache_dir()) as file:
                file.truncate(sum(sizes) * kind.itemsize)
                room = torch.from_numpy(np.memmap(file, np.uint8, "r+")).view(kind)
        else:
            room = torch.zeros(sum(sizes), dtype=kind, device=device)
        parts = iter(room.split(sizes))
        layers = tuple((next(parts).view(keys), next(parts).view(values)) for keys, values in shapes)
        return cls(layers, torch.zeros(rows, dtype=torch.long), in_file)

    def put(self, indices: Sequence[int], part: Self) -> None:
        """Fill in the beginnings with these numbers."""
        start = self.padded_length - part.padded_length
        for own, read in zip(self.layers, part.layers, strict=True):
            for side in (0, 1):
                own[side][indices, :, start:] = read[side].to(own[side].device)
        self.lengths[indices] = part.lengths

    def rows(self, indices: Sequence[int], room: int = 0) -> Self:
        """The beginnings with these numbers, in this order, any of them as often as wanted, with `room` behind them."""
        if not room and list(indices) == list(range(len(self.lengths))):  # spare the copy
            return self
        chosen = torch.tensor(indices)
        lengths = self.lengths[chosen]
        kept = int(lengths.max())
        start = self.padded_length - kept
        chosen = chosen.to(self.layers[0][0].device)

        def copy(tensor: Tensor) -> Tensor:
            copied = tensor.new_empty(len(chosen), tensor.shape[1], kept + room, tensor.shape[3])
            torch.index_select(tensor[:, :, start : start + kept], 0, chosen, out=copied[:, :, :kept])
            return copied

        return type(self)(tuple((copy(keys), copy(values)) for keys, values in self.layers), lengths, room=room)

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

    def cache(self, device: torch.device) -> "PrefixKVCache":
        """A cache of transformers that begins with this; running a model on it fills the room, and needs all of it."""
        from softcloze.backbone.attention import PrefixKVCache, PrefixKVLayer

        # no configuration: a sliding window's cache would forget what lies outside, and miscount padding
        cache = PrefixKVCache()
        cache.layers += [PrefixKVLayer(keys.to(device), values.to(device), self.room) for keys, values in self.layers]
        return cache
