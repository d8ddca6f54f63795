"""Scores of label words, for one batch with gradient or for any number of prompts without."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring.queries import CausalPlan, MaskedPlan

# tokens in a batch when scoring; a processor gains nothing beyond, and an accelerator has room for it
BATCH_TOKENS = 4096


class Scorer:
    """Asks a backbone for the scores of label words.

    Attributes:
        backbone: the model.
        words: token ids of each label word.
    """

    def __init__(self, backbone: Backbone, template: CompiledTemplate, words: Sequence[tuple[int, ...]]):
        """Plan how to score `words` at the mask of `template`."""
        self.backbone = backbone
        self.words = tuple(words)
        mask_id = backbone.vocabulary.mask_id
        self._plan = (
            MaskedPlan(words, mask_id) if mask_id is not None else CausalPlan(words, has_right=template.has_right)
        )
        # raw scores of the label words' own tokens suffice unless normalisers differ
        self._tokens = sorted({token for word in words for token in word})

    def batch(self, prompts: Sequence[EncodedPrompt], soft: Tensor | None) -> Tensor:
        """Scores of all words in one pass, differentiable in `soft`.

        Args:
            prompts: encoded prompts.
            soft: the soft vectors, shape (soft, width), or None where the template has none.

        Returns:
            Log-probabilities in nats, up to a constant per prompt, shape (batch, words).
        """
        rows: list[tuple[int, ...]] = []
        reads: list[tuple[int, int, int, int]] = []  # row, place among the row's reads, token, cell of the result
        places: list[list[int]] = []
        for number, prompt in enumerate(prompts):
            for query in self._plan.queries(prompt):
                wanted = sorted({read.position for read in query.reads})
                nth = {position: k for k, position in enumerate(wanted)}
                reads += [
                    (len(rows), nth[read.position], read.token, number * len(self.words) + read.word)
                    for read in query.reads
                ]
                rows.append(query.ids)
                places.append(wanted)
        # rows with fewer reads repeat their last one
        most = max(map(len, places))
        positions = torch.tensor([wanted + wanted[-1:] * (most - len(wanted)) for wanted in places])

        device = self.backbone.device
        row, place, token, cell = torch.tensor(reads, device=device).T.contiguous()
        if self._plan.normalised:
            scores = self.backbone.logits(rows, positions, soft=soft).log_softmax(-1)
        else:
            columns = torch.tensor(self._tokens, device=device)
            scores = self.backbone.logits(rows, positions, soft=soft, columns=columns)
            token = torch.searchsorted(columns, token)
        result = scores.new_zeros(len(prompts) * len(self.words))
        return result.index_add(0, cell, scores[row, place, token]).view(len(prompts), len(self.words))

    def all(
        self,
        prompts: Sequence[EncodedPrompt],
        soft: Tensor | None,
        *,
        on_rows: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Scores of all words for any number of prompts, in batches of like length, without gradient.

        Args:
            prompts: encoded prompts.
            soft: as in `batch`.
            on_rows: called with the number of prompts done after each batch.

        Returns:
            As `batch`, on the CPU, in the order of `prompts`.
        """
        scores = torch.empty(len(prompts), len(self.words))
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
        start = 0
        with torch.inference_mode():
            while start < len(order):
                longest = len(prompts[order[start]]) + max(map(len, self.words))
                size = max(1, BATCH_TOKENS // (longest * len(self._plan.queries(prompts[order[start]]))))
                chosen = order[start : start + size]
                scores[chosen] = self.batch([prompts[i] for i in chosen], soft).cpu()
                start += size
                if on_rows is not None:
                    on_rows(len(chosen))
        return scores
