"""What the engine does for a classifier, as facts."""

from dataclasses import dataclass
from typing import Self

import torch

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.family import Family
from softcloze.backbone.kv_cache import PrefixCache


@dataclass(frozen=True, slots=True)
class Cached:
    """What was read once before training, all that stands before the first soft slot of each example.

    Attributes:
        tokens: that were read, those of all examples together.
        bytes: that their keys and values took, padding included.
        in_file: whether they were kept in a file, and not in memory.
    """

    tokens: int
    bytes: int
    in_file: bool

    @classmethod
    def of(cls, prefix: PrefixCache) -> Self:
        """The figures of what was read."""
        return cls(int(prefix.lengths.sum()), prefix.bytes, prefix.in_file)


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """How a classifier's model is run; docs/engine.md tells what it means.

    Attributes:
        family: "masked", "causal" or "seq2seq".
        dtype: the precision of the weights, such as "float32".
        device: where the model is.
        attention: the implementation of attention that the model runs with: the one that it was loaded with, or
            "softcloze", ours in the place of "sdpa".
        threads: of the processor that torch uses.
        compiled: whether torch compiled the model's layers for scoring.
        supports_prefix_cache: whether the model reads a row in two parts, so that what rows begin with is read once.
        prefix_cache_reason: why not; empty where it can.
        can_pack: whether rows behind one beginning are packed in one.
        cached: what the last `fit` read before training; None where there was nothing to read once.

    Example:
        >>> from softcloze import load_backbone
        >>> engine = RuntimeInfo.of(load_backbone("starter:bert-tiny", dtype="float32", device="cpu"))
        >>> engine.family, engine.dtype, engine.supports_prefix_cache
        ('masked', 'float32', False)
        >>> engine.prefix_cache_reason
        'a masked model reads every word in the light of those behind it'
    """

    family: Family
    dtype: str
    device: str
    attention: str
    threads: int
    compiled: bool
    supports_prefix_cache: bool
    prefix_cache_reason: str
    can_pack: bool
    cached: Cached | None = None

    @classmethod
    def of(cls, backbone: Backbone, cached: Cached | None = None) -> Self:
        """The facts, each from where it is decided."""
        return cls(
            family=backbone.family,
            dtype=str(backbone.model.dtype).removeprefix("torch."),
            device=str(backbone.device),
            attention=backbone.attention,
            threads=torch.get_num_threads(),
            compiled=backbone.compiled,
            supports_prefix_cache=backbone.supports_prefix_cache,
            prefix_cache_reason=backbone.prefix_cache_reason,
            can_pack=backbone.can_pack,
            cached=cached,
        )
