"""Facts about how a classifier's model is run."""

from dataclasses import dataclass
from typing import Self

import torch

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.family import Family
from softcloze.backbone.kv_cache import PrefixCache


@dataclass(frozen=True, slots=True)
class Cached:
    """Size of the key/value cache of a `fit`: the tokens before the first soft slot of each example.

    Attributes:
        tokens: tokens of all examples together.
        bytes: memory of their keys and values, padding included.
        in_file: whether they were kept in a file instead of memory.
    """

    tokens: int
    bytes: int
    in_file: bool

    @classmethod
    def of(cls, prefix: PrefixCache) -> Self:
        """The size of `prefix`."""
        return cls(int(prefix.lengths.sum()), prefix.bytes, prefix.in_file)


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """Facts about how a classifier's model is run; docs/explanation/engine.md explains them.

    Attributes:
        family: "masked", "causal" or "seq2seq".
        dtype: the precision of the weights, such as "float32".
        device: the device of the model.
        attention: the attention implementation: the one that the model was loaded with, or "softcloze" instead of
            "sdpa".
        threads: CPU threads of torch.
        compiled: whether torch compiled the model's layers for scoring.
        supports_prefix_cache: whether the model continues from cached keys and values, so that prefixes are computed
            once.
        prefix_cache_reason: the reason why not; empty where it does.
        can_pack: whether sequences with a common prefix are packed into one.
        quantisation: the form of the weights: "int8" or "nf4", or "none" for floating-point numbers.
        cached: the key/value cache of the last `fit`; None where it had none.

    Example:
        >>> from softcloze import load_backbone
        >>> engine = RuntimeInfo.of(load_backbone("starter:bert-tiny", dtype="float32", device="cpu"))
        >>> engine.family, engine.dtype, engine.supports_prefix_cache
        ('masked', 'float32', False)
        >>> engine.prefix_cache_reason
        'a masked model computes every word from the words that follow as well'
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
    quantisation: str
    cached: Cached | None = None

    @classmethod
    def of(cls, backbone: Backbone, cached: Cached | None = None) -> Self:
        """The facts about `backbone`."""
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
            quantisation=backbone.quantisation,
            cached=cached,
        )
