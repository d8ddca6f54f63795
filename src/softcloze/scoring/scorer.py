"""Scores of label words, for one batch with gradient or for any number of prompts without."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from torch import Tensor

from softcloze.backbone import Backbone, Prefix, batches
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring.filling import masked_plan
from softcloze.scoring.queries import CausalPlan, Plan, Query, with_state
from softcloze.verbalizer import Fill

# what training may remember of its examples; beyond, every step reads them anew
PREFIX_MEMORY = 2**30


class Scorer:
    """Asks a backbone for the scores of label words, for its state at the mask, or for both.

    Both together are called features here: shape (batch, features), first the words, then the numbers of the state.

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
        fill: Fill = "together",
        *,
        plan: Plan | None = None,
        normalised: bool = False,
        states: bool = False,
    ):
        """Plan how to score `words` at the mask of `template`.

        Args:
            backbone: the model.
            template: the compiled template.
            words: token ids of each label word; none where the state alone is wanted.
            lengths: what the words' scores are divided by.
            fill: how a masked model fills in words of several tokens: see `Verbalizer`.
            plan: how conjunctions are scored, which have a word at each of several masks and are given as `words`.
            normalised: whether words have their probabilities over the whole vocabulary, and not up to a constant.
            states: whether the state at the mask is read as well.
        """
        self.backbone = backbone
        self.words = tuple(words)
        self._states = states
        mask_id = backbone.vocabulary.mask_id
        if plan is not None:
            self._plan = plan
        elif mask_id is not None:
            self._plan = masked_plan(words, mask_id, fill)
        else:
            self._plan = CausalPlan(words, has_right=template.has_right)
        self._lengths = None if lengths is None else torch.tensor(lengths, device=backbone.device)
        # what is divided must not have a constant of its own
        self._plan.normalised |= normalised or lengths is not None
        # raw scores of the label words' own tokens suffice unless normalisers differ
        self._columns = torch.tensor(sorted({token for word in words for token in word} or {0}))

    @property
    def features(self) -> int:
        """How many numbers are read for each prompt."""
        return len(self.words) + (self.backbone.state_width if self._states else 0)

    def batch(self, prompts: Sequence[EncodedPrompt], soft: Tensor | None, prefix: Prefix | None = None) -> Tensor:
        """Features of one batch, differentiable in `soft`.

        It takes one pass of the model, or where `fill` is "most_confident" one for each token of the longest word.

        Args:
            prompts: encoded prompts.
            soft: the soft vectors, shape (soft, width), or None where the template has none.
            prefix: how the prompts begin, where that was read before: one row each.

        Returns:
            Log-probabilities of the words in nats, up to a constant per prompt, with `lengths` divided by them and
            without such a constant; and the states. Shape (batch, features).
        """
        states: list[Tensor] = []

        def read(queries: Sequence[Sequence[Query]], cells: int) -> Tensor:
            if self._states and not states:  # the first pass serves for both
                mask_id = self.backbone.vocabulary.mask_id
                queries = [with_state(own, prompt, mask_id) for own, prompt in zip(queries, prompts, strict=True)]
            sums, found = self._read(queries, cells, soft, prefix)
            states.append(found)
            return sums

        words = self._plan.scores(prompts, read) if self.words else read([[]] * len(prompts), 0)
        if self._lengths is not None:
            words = words / self._lengths
        return torch.cat([words, states[0]], -1) if self._states else words

    def _read(
        self, queries: Sequence[Sequence[Query]], cells: int, soft: Tensor | None, prefix: Prefix | None
    ) -> tuple[Tensor, Tensor]:
        """Read the rows of each prompt in one pass.

        Returns:
            What is read for each cell, added up, shape (batch, cells), and the states where one is read, one
            for each prompt, shape (batch, state).
        """
        known = prefix.lengths.tolist() if prefix is not None else [0] * len(queries)
        rows: list[tuple[int, ...]] = []
        types: list[tuple[int, ...] | None] = []
        owners: list[int] = []
        places: list[list[int]] = []
        reads: list[tuple[int, int, int, int]] = []  # row, place among the row's reads, token, cell of the result
        states: list[tuple[int, int]] = []  # row, place among the row's reads
        for number, own in enumerate(queries):
            for query in own:
                wanted = query.places
                nth = {position: k for k, position in enumerate(wanted)}
                if query.state is not None:
                    states.append((len(rows), nth[query.state]))
                reads += [
                    (len(rows), nth[read.position], read.token, number * cells + read.cell) for read in query.reads
                ]
                rows.append(query.ids[known[number] :])
                types.append(query.types)
                owners.append(number)
                places.append([position - known[number] for position in wanted])
        # rows with fewer reads repeat their last one
        most = max(map(len, places))
        positions = torch.tensor([wanted + wanted[-1:] * (most - len(wanted)) for wanted in places])
        beginnings = prefix.rows(owners) if prefix is not None else None

        columns = None if self._plan.normalised else self._columns.to(self.backbone.device)
        outputs = self.backbone.outputs(rows, positions, types=types, soft=soft, columns=columns, prefix=beginnings)
        row, place, token, cell = self._indices(reads, 4)
        if columns is None:
            scores = outputs.logits.log_softmax(-1)
        else:
            scores, token = outputs.logits, torch.searchsorted(columns, token)
        result = scores.new_zeros(len(queries) * cells)
        sums = result.index_add(0, cell, scores[row, place, token]).view(len(queries), cells)
        row, place = self._indices(states, 2)
        return sums, outputs.states[row, place]

    def _indices(self, places: Sequence[tuple[int, ...]], width: int) -> Tensor:
        """Tuples turned to columns, shape (width, places), also where there are none."""
        return torch.tensor(places, dtype=torch.long, device=self.backbone.device).view(-1, width).T.contiguous()

    def all(self, prompts: Sequence[EncodedPrompt], softs: Sequence[Tensor | None]) -> Tensor:
        """Features of any number of prompts, in batches of like length, without gradient.

        Several sets of soft vectors for the same template are scored in one pass, so that what stands before
        the first soft slot is read once for all of them. What all prompts begin with is read once as well.

        Args:
            prompts: encoded prompts.
            softs: one or more sets of soft vectors as in `batch`.

        Returns:
            As `batch` for each set, on the CPU, in the order of `prompts`; shape (sets, prompts, features).
        """
        features = torch.empty(len(softs), len(prompts), self.features)
        if not prompts:
            return features
        with torch.inference_mode():
            # a beginning of one's own is longer than the common one, but pays only where several sets use it
            own = len(softs) > 1 and min(map(_frozen_length, prompts)) > 0
            shared = [None if own else self._read_shared(prompts, soft) for soft in softs]
            for chosen in self.batches(prompts):
                members = [prompts[i] for i in chosen]
                beginnings = self.read_frozen(members) if own else None
                for found, soft, common in zip(features, softs, shared, strict=True):
                    prefix = common.rows([0] * len(chosen)) if common is not None else beginnings
                    found[chosen] = self.batch(members, soft, prefix).cpu()
        return features

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

    def batches(self, prompts: Sequence[EncodedPrompt]) -> Iterator[list[int]]:
        """Numbers of prompts, in batches of like length."""
        answer = max(map(len, self.words), default=1)

        def cost(i: int) -> int:
            rows = self._plan.most_rows(prompts[i]) if self.words else 0
            return (len(prompts[i]) + answer) * (rows + self._states)

        return batches([len(prompt) for prompt in prompts], cost)


def _frozen_length(prompt: EncodedPrompt) -> int:
    """Ids before the first soft slot, or before the one that the mask is read from."""
    return next((i for i, token in enumerate(prompt.left) if token < 0), len(prompt.left) - 1)
