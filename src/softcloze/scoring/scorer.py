"""Scores of label words, for one batch with gradient or for any number of prompts without."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from torch import Tensor

from softcloze.backbone import Backbone, Prefix, batches
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring.queries import CausalPlan, MaskedPlan
from softcloze.scoring.rules import CausalRules, MaskedRules

# what training may remember of its examples; beyond, every step reads them anew
PREFIX_MEMORY = 2**30


class Scorer:
    """Asks a backbone for the scores of label words.

    Attributes:
        backbone: the model.
        words: token ids of each label word; of a conjunction, those of all its words in one row.
    """

    def __init__(
        self,
        backbone: Backbone,
        template: CompiledTemplate,
        words: Sequence[tuple[int, ...]],
        lengths: Sequence[int] | None = None,
        plan: MaskedRules | CausalRules | None = None,
    ):
        """Plan how to score `words` at the mask of `template`; scores are divided by `lengths`.

        Conjunctions, which have a word at each of several masks, come with the `plan` that they are scored by.
        """
        self.backbone = backbone
        self.words = tuple(words)
        mask_id = backbone.vocabulary.mask_id
        self._plan: MaskedPlan | CausalPlan | MaskedRules | CausalRules
        if plan is not None:
            self._plan = plan
        elif mask_id is not None:
            self._plan = MaskedPlan(words, mask_id)
        else:
            self._plan = CausalPlan(words, has_right=template.has_right)
        self._lengths = None if lengths is None else torch.tensor(lengths, device=backbone.device)
        self._plan.normalised |= lengths is not None  # what is divided must not have a constant of its own
        # raw scores of the label words' own tokens suffice unless normalisers differ
        self._columns = torch.tensor(sorted({token for word in words for token in word}))

    def batch(self, prompts: Sequence[EncodedPrompt], soft: Tensor | None, prefix: Prefix | None = None) -> Tensor:
        """Scores of all words in one pass, differentiable in `soft`.

        Args:
            prompts: encoded prompts.
            soft: the soft vectors, shape (soft, width), or None where the template has none.
            prefix: how the prompts begin, where that was read before: one row each.

        Returns:
            Log-probabilities in nats, up to a constant per prompt, shape (batch, words); with `lengths` divided by
            them, and without such a constant.
        """
        known = prefix.lengths.tolist() if prefix is not None else [0] * len(prompts)
        rows: list[tuple[int, ...]] = []
        types: list[tuple[int, ...] | None] = []
        owners: list[int] = []
        places: list[list[int]] = []
        reads: list[tuple[int, int, int, int]] = []  # row, place among the row's reads, token, cell of the result
        for number, prompt in enumerate(prompts):
            for query in self._plan.queries(prompt):
                wanted = sorted({read.position for read in query.reads})
                nth = {position: k for k, position in enumerate(wanted)}
                reads += [
                    (len(rows), nth[read.position], read.token, number * len(self.words) + read.word)
                    for read in query.reads
                ]
                rows.append(query.ids[known[number] :])
                types.append(query.types)
                owners.append(number)
                places.append([position - known[number] for position in wanted])
        # rows with fewer reads repeat their last one
        most = max(map(len, places))
        positions = torch.tensor([wanted + wanted[-1:] * (most - len(wanted)) for wanted in places])
        beginnings = prefix.rows(owners) if prefix is not None else None

        row, place, token, cell = torch.tensor(reads, device=self.backbone.device).T.contiguous()
        if self._plan.normalised:
            scores = self.backbone.logits(rows, positions, types=types, soft=soft, prefix=beginnings).log_softmax(-1)
        else:
            columns = self._columns.to(self.backbone.device)
            scores = self.backbone.logits(rows, positions, types=types, soft=soft, columns=columns, prefix=beginnings)
            token = torch.searchsorted(columns, token)
        result = scores.new_zeros(len(prompts) * len(self.words))
        words = result.index_add(0, cell, scores[row, place, token]).view(len(prompts), len(self.words))
        return words if self._lengths is None else words / self._lengths

    def all(self, prompts: Sequence[EncodedPrompt], softs: Sequence[Tensor | None]) -> Tensor:
        """Scores of all words for any number of prompts, in batches of like length, without gradient.

        Several sets of soft vectors for the same template are scored in one pass, so that what stands before
        the first soft slot is read once for all of them. What all prompts begin with is read once as well.

        Args:
            prompts: encoded prompts.
            softs: one or more sets of soft vectors as in `batch`.

        Returns:
            As `batch` for each set, on the CPU, in the order of `prompts`; shape (sets, prompts, words).
        """
        scores = torch.empty(len(softs), len(prompts), len(self.words))
        if not prompts:
            return scores
        with torch.inference_mode():
            # a beginning of one's own is longer than the common one, but pays only where several sets use it
            own = len(softs) > 1 and min(map(_frozen_length, prompts)) > 0
            shared = [None if own else self._read_shared(prompts, soft) for soft in softs]
            for chosen in self._batches(prompts):
                members = [prompts[i] for i in chosen]
                beginnings = self.read_frozen(members) if own else None
                for scored, soft, common in zip(scores, softs, shared, strict=True):
                    prefix = common.rows([0] * len(chosen)) if common is not None else beginnings
                    scored[chosen] = self.batch(members, soft, prefix).cpu()
        return scores

    def read_frozen(self, prompts: Sequence[EncodedPrompt]) -> Prefix | None:
        """What stands before the first soft slot of each prompt, read once; it does not change in training.

        Returns:
            One row per prompt; None where there is nothing to gain, the model cannot read in parts, or it would
            take more than `PREFIX_MEMORY`.
        """
        lengths = [_frozen_length(prompt) for prompt in prompts]
        if min(lengths) < 1 or not self.backbone.can_read:
            return None
        parts: list[Prefix] = []
        # longest first: in the end all are padded to the longest, so the first part tells what all will take
        order = sorted(range(len(prompts)), key=lambda i: lengths[i], reverse=True)
        for first in range(0, len(order), 16):
            chosen = order[first : first + 16]
            parts.append(self.backbone.read([prompts[i].left[: lengths[i]] for i in chosen]))
            if parts[0].memory // len(parts[0].lengths) * len(prompts) > PREFIX_MEMORY:
                return None
        place = {i: k for k, i in enumerate(order)}
        return Prefix.join(parts).rows([place[i] for i in range(len(prompts))])

    def _read_shared(self, prompts: Sequence[EncodedPrompt], soft: Tensor | None) -> Prefix | None:
        """The ids with which all prompts begin, found on the ids themselves, as one row; None if there are none."""
        # the last id before the mask is read together with the mask
        beginnings = [prompt.left[:-1] for prompt in prompts]
        # what the first and the last in order have in common, all have
        pairs = zip(min(beginnings), max(beginnings), strict=False)
        common = [token for token, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        if len(prompts) < 2 or not common or not self.backbone.can_read:
            return None
        return self.backbone.read([common], soft)

    def _batches(self, prompts: Sequence[EncodedPrompt]) -> Iterator[list[int]]:
        """Numbers of prompts, in batches of like length."""
        answer = max(map(len, self.words))
        return batches(
            [len(prompt) for prompt in prompts],
            lambda i: (len(prompts[i]) + answer) * len(self._plan.queries(prompts[i])),
        )


def _frozen_length(prompt: EncodedPrompt) -> int:
    """Ids before the first soft slot, or before the one that the mask is read from."""
    return next((i for i, token in enumerate(prompt.left) if token < 0), len(prompt.left) - 1)
