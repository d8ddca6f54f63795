"""Hooks that `generate` of transformers calls at each new token: an end at stop strings, and a check of the scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

from softcloze.backbone import Backbone

Follow: TypeAlias = Callable[[int, Sequence[int]], bool]


class StopAt(StoppingCriteria):
    """End a text with a stop string, or where its follower says so."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        stops: Sequence[str],
        first: int,
        rows: Sequence[int],
        follow: Follow | None = None,
        space: str = "",
    ):
        """Keep the ends of texts.

        Args:
            decode: decodes token ids.
            stops: stop strings.
            first: number of ids before the new ones.
            rows: the indices of the prompts of the batch.
            follow: as for `Writer.write`.
            space: white space that precedes a text and is no part of it.
        """
        self._decode, self._stops, self._first = decode, tuple(stops), first
        self._rows, self._follow, self._space = rows, follow, space
        # each token has at least one byte, and a decoder may drop the space in front of the first
        self._tail = max((len(stop.encode("utf-8", "surrogatepass")) for stop in stops), default=0) + 1

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:  # noqa: ANN401
        """Return True for each text that has ended, shape (batch,)."""
        ended = [False] * len(input_ids)
        new = input_ids[:, self._first :].tolist() if self._stops or self._follow is not None else []
        if self._stops:
            ended = [any(stop in text for stop in self._stops) for text in map(self._last_characters, new)]
        if self._follow is not None:
            beams = len(new) // len(self._rows)
            for at, row in enumerate(self._rows):
                if self._follow(row, new[at * beams]):
                    ended[at * beams : (at + 1) * beams] = [True] * beams
        return torch.tensor(ended, device=input_ids.device)

    def _last_characters(self, ids: Sequence[int]) -> str:
        """The end of a text with these new ids, or all of it."""
        text = self._decode(ids[-self._tail :])
        return text.removeprefix(self._space) if len(ids) <= self._tail else text


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
