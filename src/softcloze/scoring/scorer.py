"""Scores of label words, for one batch with gradient or for any number of prompts without."""

from collections.abc import Hashable, Sequence
from copy import copy

import torch
from torch import Tensor

from softcloze.backbone import Backbone, PrefixCache, run_length_bucketed
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring.families import plan_words, with_state
from softcloze.scoring.plan import ModelInput, Plan
from softcloze.scoring.shared_prefix import JoinedPlan, Member, score_together
from softcloze.verbalizer import Decoding


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
        decoding: Decoding = "together",
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
            decoding: how a masked model fills in words of several tokens: see `Verbalizer`.
            plan: how conjunctions are scored, which have a word at each of several masks and are given as `words`.
            normalised: whether words have their probabilities over the whole vocabulary, and not up to a constant.
            states: whether the state at the mask is read as well.
        """
        self.backbone = backbone
        self.words = tuple(words)
        self._states = states
        self._plan = plan if plan is not None else plan_words(backbone, words, decoding, has_right=template.has_right)
        self._lengths = None if lengths is None else torch.tensor(lengths, device=backbone.device)
        # what is divided must not have a constant of its own
        self._plan.normalised |= normalised or lengths is not None
        # raw scores of the label words' own tokens suffice unless normalisers differ
        self._columns = torch.tensor(sorted({token for word in words for token in word} or {0}))

    @classmethod
    def join(cls, scorers: Sequence["Scorer"]) -> "Scorer":
        """One that reads prompts of all of them in one pass, each an `OwnedPrompt` of one of them.

        Args:
            scorers: of one backbone, with the same `manner`.

        Returns:
            A scorer of all their words in a row, of which a prompt fills those of its own scorer.
        """
        if len(scorers) == 1:
            return scorers[0]
        joined = copy(scorers[0])
        joined.words = tuple(word for scorer in scorers for word in scorer.words)
        joined._plan = JoinedPlan([scorer._plan for scorer in scorers])
        ones = [torch.ones(len(scorer.words), device=joined.backbone.device) for scorer in scorers]
        lengths = [one if own._lengths is None else own._lengths for own, one in zip(scorers, ones, strict=True)]
        joined._lengths = torch.cat(lengths)
        joined._columns = torch.cat([scorer._columns for scorer in scorers]).unique()
        return joined

    @property
    def manner(self) -> Hashable:
        """What scorers have to have in common to be joined."""
        return self._plan.normalised, self._states, self if self._plan.adaptive else None

    @property
    def features(self) -> int:
        """How many numbers are read for each prompt."""
        return len(self.words) + (self.backbone.state_width if self._states else 0)

    def batch(
        self,
        prompts: Sequence[EncodedPrompt],
        soft: Tensor | None,
        prefix: PrefixCache | None = None,
        behind: Sequence[int] = (),
    ) -> Tensor:
        """Features of one batch, differentiable in `soft`.

        It takes one pass of the model, or where `decoding` is "most_confident" one for each token of the longest word.

        Args:
            prompts: encoded prompts.
            soft: the soft vectors, shape (soft, width), or None where the template has none.
            prefix: how prompts begin, where that was read before.
            behind: for each prompt the number of its beginning in `prefix`.

        Returns:
            Log-probabilities of the words in nats, up to a constant per prompt, with `lengths` divided by them and
            without such a constant; and the states. Shape (batch, features).
        """
        states: list[Tensor] = []

        def read(queries: Sequence[Sequence[ModelInput]], cells: int) -> Tensor:
            if self._states and not states:  # the first pass serves for both
                queries = [with_state(self.backbone, *both) for both in zip(queries, prompts, strict=True)]
            sums, found = self._read(queries, cells, soft, prefix, behind)
            states.append(found)
            return sums

        words = self._plan.scores(prompts, read) if self.words else read([[]] * len(prompts), 0)
        if self._lengths is not None:
            words = words / self._lengths
        return torch.cat([words, states[0]], -1) if self._states else words

    def _read(
        self,
        queries: Sequence[Sequence[ModelInput]],
        cells: int,
        soft: Tensor | None,
        prefix: PrefixCache | None,
        behind: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Read the rows of each prompt in one pass.

        Returns:
            What is read for each cell, added up, shape (batch, cells), and the states where one is read, one
            for each prompt, shape (batch, state).
        """
        known = prefix.lengths[torch.tensor(behind)].tolist() if prefix is not None else [0] * len(queries)
        rows: list[tuple[int, ...]] = []
        token_type_ids: list[tuple[int, ...] | None] = []
        sources: list[tuple[int, ...]] = []
        beginnings: list[int] = []
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
                token_type_ids.append(query.token_type_ids)
                sources.append(query.source)
                beginnings += behind[number : number + 1]  # none without a prefix
                places.append([position - known[number] for position in wanted])
        # rows with fewer reads repeat their last one
        most = max(map(len, places))
        positions = torch.tensor([wanted + wanted[-1:] * (most - len(wanted)) for wanted in places])

        columns = None if self._plan.normalised else self._columns.to(self.backbone.device)
        outputs = self.backbone.outputs(
            rows,
            positions,
            token_type_ids=token_type_ids,
            sources=sources,
            soft=soft,
            vocab_ids=columns,
            prefix=prefix,
            prefix_index=beginnings,
        )
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
        """Features of any number of prompts, without gradient; what several rows begin with is read once.

        Args:
            prompts: encoded prompts.
            softs: one or more sets of soft vectors as in `batch`.

        Returns:
            As `batch` for each set, on the CPU, in the order of `prompts`; shape (sets, prompts, features).
        """
        return torch.stack(score_together([Member(self, prompts, soft) for soft in softs]))

    def read_frozen(self, prompts: Sequence[EncodedPrompt], memory: int) -> PrefixCache | None:
        """What stands before the first soft slot of each prompt, read once; it does not change in training.

        Args:
            prompts: encoded prompts.
            memory: bytes that it may take; what takes more is kept in a file (see `PrefixCache.empty`).

        Returns:
            One row per prompt; None where there is nothing to gain, or the model cannot read in parts.
        """
        lengths = [_frozen_length(prompt) for prompt in prompts]
        if min(lengths) < 1 or not self.backbone.supports_prefix_cache:
            return None
        kept: PrefixCache | None = None

        def read(chosen: list[int]) -> None:
            nonlocal kept
            part = self.backbone.prefill([prompts[i].left[: lengths[i]] for i in chosen])
            if kept is None:  # the longest come first, and all are padded to them
                kept = PrefixCache.empty(part, len(prompts), memory)
            kept.put(chosen, part)

        run_length_bucketed(lengths, lambda i: lengths[i], read, self.backbone.token_budget)
        return kept

    def rows(self, prompt: EncodedPrompt) -> int:
        """Rows that the model reads for a prompt, at most."""
        return (self._plan.most_rows(prompt) if self.words else 0) + self._states

    def cost(self, prompt: EncodedPrompt, known: int) -> int:
        """Tokens that the model reads for a prompt, of which so many at the beginning are read already."""
        answer = max(map(len, self.words), default=1)
        return (len(prompt) - known + answer) * self.rows(prompt)


def _frozen_length(prompt: EncodedPrompt) -> int:
    """Ids before the first soft slot, or before the one that the mask is read from."""
    return next((i for i, token in enumerate(prompt.left) if token < 0), len(prompt.left) - 1)
