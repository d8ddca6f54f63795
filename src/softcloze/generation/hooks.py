"""What `generate` of transformers calls at each new token: an end at stop strings, and a check of the scores."""

from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

from softcloze.backbone import Backbone


class StopAt(StoppingCriteria):
    """End a text with a stop string, and all texts once somebody asks for it."""

    def __init__(
        self, decode: Callable[[Sequence[int]], str], stops: Sequence[str], first: int, cancelled: Event | None = None
    ):
        """Take what ends a text.

        Args:
            decode: decodes token ids.
            stops: stop strings.
            first: number of ids before the new ones.
            cancelled: set as soon as nobody needs the texts any more.
        """
        self._decode, self._stops, self._first, self._cancelled = decode, tuple(stops), first, cancelled
        # each token has at least one byte, and a decoder may drop the space in front of the first
        self._tail = max((len(stop.encode("utf-8", "surrogatepass")) for stop in stops), default=0) + 1

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:  # noqa: ANN401
        """Return True for each text that has ended, shape (batch,)."""
        if self._cancelled is not None and self._cancelled.is_set():
            return torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        tails = [row[-self._tail :] for row in input_ids[:, self._first :].tolist()] if self._stops else []
        ended = [any(stop in text for stop in self._stops) for text in map(self._decode, tails)]
        return torch.tensor(ended or [False] * len(input_ids), device=input_ids.device)


class FiniteScores(LogitsProcessor):
    """Raise an error in place of a text from scores that are NaN or infinite."""

    def __init__(self, backbone: Backbone, tensors: Mapping[str, Tensor]):
        """Take the model, and trained tensors by a name for the message."""
        self._backbone, self._tensors = backbone, tensors

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores, shape (batch, vocab).

        Raises:
            NonFiniteError: as `Backbone.validate_scores`.
        """
        if not bool(scores.isfinite().all()):
            self._backbone.validate_scores(scores.float().cpu(), self._tensors)
        return scores
