"""The prefixes of prompts, kept as keys and values from call to call within a budget of bytes."""

from collections.abc import Sequence
from threading import Lock
from weakref import WeakKeyDictionary

import torch

from softcloze.prompt.bound import BoundPrompt
from softcloze.scoring import KnownPrefix

MIN_KEPT_TOKENS = 4  # a prefix has to save as many tokens of each example to be worth copying


class KeptPrefixes:
    """The prefixes of prompts of one backbone; the least recently used one makes way for another.

    A prefix is freed with the last reference to its prompt. It holds what the prompt has before every text, and never
    a text. Only causal models have prefixes that do not depend on the text after them.

    Attributes:
        memory: bytes that keys and values may take.
    """

    def __init__(self, memory: int):
        """Keep nothing yet, and later up to `memory` bytes."""
        self.memory = memory
        self._kept: WeakKeyDictionary[BoundPrompt, KnownPrefix] = WeakKeyDictionary()  # the last used one comes last
        self._bytes_per_token = 0
        self._lock = Lock()  # of the changes that follow, while other threads look prefixes up

    @property
    def bytes(self) -> int:
        """Memory of the keys and values that are kept."""
        with self._lock:
            return self._bytes()

    def _bytes(self) -> int:
        return sum(known.cache.bytes for known in self._kept.values())

    def get(self, bound: BoundPrompt) -> KnownPrefix | None:
        """The kept prefix of a prompt."""
        return self._kept.get(bound)

    def use(self, prompts: Sequence[BoundPrompt]) -> None:
        """Compute the prefixes of prompts that are scored now, as far as they fit; the model has to be frozen.

        Those of other prompts make way, and those of `prompts` do not make way for one another, so that a budget
        that is too small for all of them serves some of them.
        """
        if not self.memory or not prompts[0].backbone.supports_prefix_cache:
            return
        with self._lock:
            for bound in prompts:
                if (known := self._kept.pop(bound, None)) is not None:
                    self._kept[bound] = known
        for bound in prompts:
            if bound in self._kept or len(bound.start) < MIN_KEPT_TOKENS:
                continue
            if not self._make_way(len(bound.start) * self._bytes_per_token, prompts):
                continue
            soft = bound.parts.soft
            with torch.no_grad():
                cache = bound.backbone.prefill([bound.start], soft.inputs() if soft is not None else None)
            self._bytes_per_token = cache.bytes // len(bound.start)
            if self._make_way(cache.bytes, prompts):
                with self._lock:
                    self._kept[bound] = KnownPrefix(bound.start, cache)

    def _make_way(self, size: int, used: Sequence[BoundPrompt]) -> bool:
        """Free the least recently used prefixes until `size` bytes are left; False, with none freed, if in vain."""
        with self._lock:
            others = {bound: known.cache.bytes for bound, known in self._kept.items() if bound not in used}
            free = self.memory - self._bytes()
            if free + sum(others.values()) < size:
                return False
            for bound, freed in others.items():
                if free >= size:
                    break
                del self._kept[bound]
                free += freed
            return True
