"""Score label words in one batch, with gradient."""

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from itertools import accumulate, chain

import torch
from torch import Tensor

from softcloze.backbone import Backbone, PrefixCache, SoftInputs, StatesBelow, StatesOf, run_length_bucketed
from softcloze.backbone.soft_inputs import Key
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.families import with_states
from softcloze.scoring.field_vectors import with_field_vectors
from softcloze.scoring.log_softmax import gather_log_softmax
from softcloze.scoring.plan import AdaptivePlan, ModelInput, Plan, States, late_positions
from softcloze.scoring.prefixes import prefill_each


class Scorer:
    """Scores of label words, hidden states, or both, from a backbone.

    All together are called features: shape (batch, features), first the words, then the hidden states.

    Attributes:
        backbone: the model.
        plan: from `plan_words` or `plan_rules`; without words where only the hidden state is wanted.
        lengths: divisors of the words' scores, if any; they require normalised ones, as a constant would not cancel.
        normalised: whether words have log-probabilities over the whole vocabulary, not up to a constant.
        states: the hidden states that are read as well: "mask", "mean" or both; of a seq2seq model, one of them.
        states_of: the hidden states of which they are; "mean" of a seq2seq model is of its encoder's.
    """

    def __init__(
        self,
        backbone: Backbone,
        plan: Plan,
        lengths: Sequence[int] | None = None,
        *,
        normalised: bool = False,
        states: Sequence[States] = (),
        states_of: StatesOf = "head",
    ):
        """Score the words of `plan` with `backbone`; the arguments are those of the attributes."""
        self.backbone = backbone
        self.plan = plan
        self.lengths = tuple(lengths) if lengths is not None else None
        self.normalised = plan.normalised or normalised or lengths is not None
        self.states, self.states_of = tuple(states), states_of

    def with_states(self, states: Sequence[States]) -> "Scorer":
        """The scorer of the same words that reads these hidden states."""
        return Scorer(
            self.backbone, self.plan, self.lengths, normalised=self.normalised, states=states, states_of=self.states_of
        )

    @property
    def words(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of each label word; of a conjunction, those of all its words."""
        return self.plan.words

    @property
    def n_features(self) -> int:
        """Number of features of a prompt."""
        return len(self.words) + len(self.states) * self.backbone.state_width

    @property
    def batch_key(self) -> Hashable:
        """Scorers of one backbone with equal keys share batches."""
        return self.normalised, self.states, self.states_of, self if isinstance(self.plan, AdaptivePlan) else None

    @property
    def vocab_ids(self) -> Tensor | None:
        """The vocabulary ids whose raw scores suffice; None where normalisers differ."""
        return joined_vocab_ids([self])

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The sequences of a prompt in the first forward pass."""
        inputs = self.plan.model_inputs(prompt) if self.words else []
        return with_states(self.backbone, inputs, prompt, self.states)

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """Upper bound of the sequences that the model computes for a prompt in one forward pass."""
        inputs = self.plan.max_inputs(prompt) if self.words else 0
        # the words of a causal model follow the state at the mask in their own sequences
        return inputs + (bool(self.states) and not (inputs and self.backbone.family == "causal"))

    def cost(self, prompt: EncodedPrompt, cached: int) -> int:
        """Tokens that the model computes for a prompt, of which `cached` at the start are in a prefix cache."""
        if self.packs(prompt):
            tokens = self.packed_length(prompt)
            # a tensor of vocabulary size for each token from the one before the mask on
            scored = tokens - len(prompt.left) + 1 if self.normalised else 0
            return tokens - cached + int(scored * self.backbone.head_cost)
        longest_word = max(map(len, self.words), default=1)
        answer = int(len(prompt.answer) * (1 + self.backbone.head_cost))
        return (len(prompt) - cached + longest_word) * self.max_inputs(prompt) + answer

    def packs(self, prompt: EncodedPrompt) -> bool:
        """Return True if the sequences of a prompt are packed into one, in which common ids are computed once."""
        capacity = self.backbone.packing_capacity(None, len(prompt)) if not prompt.late_positions else 0
        return capacity > 0 and self.packed_length(prompt) <= capacity

    def packed_length(self, prompt: EncodedPrompt) -> int:
        """Tokens of a prompt's sequences with common ids counted once."""
        return self.plan.packed_length(prompt) if self.words else len(prompt)

    def batch(
        self,
        prompts: Sequence[EncodedPrompt],
        soft: SoftInputs | None,
        prefix: PrefixCache | None = None,
        prefix_index: Sequence[int] = (),
    ) -> Tensor:
        """Features of one batch, shape (batch, features), differentiable in `soft`: see `batch_features`."""
        prompts, soft = with_field_vectors(self.backbone, prompts, soft)
        words, states = batch_features([self] * len(prompts), prompts, self.vocab_ids, soft, prefix, prefix_index)
        return torch.cat([words, states], -1) if self.states else words

    def shareable(self, prompt: EncodedPrompt) -> tuple[int, ...]:
        """The first ids of a prompt whose keys and values suffice: their logits and hidden states are not read."""
        first = min(prompt.field_positions, default=len(prompt.left)) if "mean" in self.states else len(prompt.left)
        return prompt.left[: min(first, len(prompt.left) - 1)]

    def cache_prefixes(
        self, prompts: Sequence[EncodedPrompt], memory: int, *, lazily: bool = False
    ) -> PrefixCache | None:
        """Compute the prefix of each prompt before its first soft slot, which training does not change.

        What several of them begin with, such as the same demonstrations, is computed once.

        Args:
            prompts: encoded prompts.
            memory: bytes that it may take; a larger cache is kept in a file (see `PrefixCache.empty`).
            lazily: compute the longest prefix alone; `fill_prefixes` computes others when they are needed.

        Returns:
            One prefix per prompt; None if a prompt has none or the model does not support prefix caches.
        """
        lengths = [min(_constant_length(prompt), len(self.shareable(prompt))) for prompt in prompts]
        if min(lengths) < 1 or not self.backbone.supports_prefix_cache:
            return None
        cache: PrefixCache | None = None

        def put(chosen: list[int], part: PrefixCache) -> None:
            nonlocal cache
            if cache is None:
                cache = PrefixCache.empty(part, len(prompts), max(lengths), memory)
            cache.put(chosen, part)

        sequences = [prompt.left[:length] for prompt, length in zip(prompts, lengths, strict=True)]
        if lazily:
            longest = max(range(len(prompts)), key=lengths.__getitem__)
            put([longest], self.backbone.prefill([sequences[longest]]))
            if cache is not None:
                cache.lengths.copy_(torch.tensor(lengths))
        else:
            prefill_each(self.backbone, sequences, put)
        return cache

    def fill_prefixes(self, cache: PrefixCache, prompts: Sequence[EncodedPrompt], chosen: Sequence[int]) -> None:
        """Compute the prefixes of some prompts in a cache of `cache_prefixes`, by their indices."""
        lengths = cache.lengths.tolist()
        cache.put(chosen, self.backbone.prefill([prompts[i].left[: lengths[i]] for i in chosen]))

    def cache_below(
        self, prompts: Sequence[EncodedPrompt], soft: SoftInputs, layer: int, memory: int
    ) -> StatesBelow | None:
        """Compute the hidden states of prompts in front of a layer, where all below is constant.

        Args:
            prompts: encoded prompts.
            soft: the soft vectors, of which nothing enters below the layer.
            layer: index of the layer.
            memory: bytes that the states may take.

        Returns:
            None for a causal model, which keeps what stands before the first soft slot instead, unless vectors depend
            on a field at a later layer; if the model cannot skip layers; or if the states take more memory.
        """
        backbone = self.backbone
        keeps_prefixes = backbone.family == "causal" and not soft.late
        if layer < 1 or keeps_prefixes or not backbone.can_skip_layers(layer):
            return None
        inputs = [model_input for prompt in prompts for model_input in self.model_inputs(prompt)]
        keys = list(
            dict.fromkeys(
                (model_input.source, None) if model_input.source else (model_input.ids, model_input.token_type_ids)
                for model_input in inputs
            )
        )
        lengths = [len(ids) for ids, _ in keys]
        if sum(lengths) * backbone.layers.width * backbone.model.dtype.itemsize > memory:
            return None
        states: dict[Key, Tensor] = {}

        def run(batch: list[int]) -> None:
            ids, types = zip(*(keys[i] for i in batch), strict=True)
            states.update(backbone.states_below(layer, ids, types, soft).states)

        run_length_bucketed(lengths, lambda i: lengths[i], run, backbone.token_budget)
        return StatesBelow(layer, states)


def joined_vocab_ids(scorers: Sequence[Scorer]) -> Tensor | None:
    """The tokens of all words of scorers with the same `batch_key`, in order; None where they are normalised."""
    if scorers[0].normalised:
        return None
    tokens = {token for scorer in scorers for word in scorer.words for token in word}
    return torch.tensor(sorted(tokens or {0}), device=scorers[0].backbone.device)


def batch_features(
    scorers: Sequence[Scorer],
    prompts: Sequence[EncodedPrompt],
    vocab_ids: Tensor | None,
    soft: SoftInputs | None,
    prefix: PrefixCache | None = None,
    prefix_index: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """Features of one batch, whose prompts may belong to several scorers.

    It takes one forward pass, or with an adaptive plan one for each token of the longest word.

    Args:
        scorers: the scorer of each prompt, all with the same `batch_key`.
        prompts: encoded prompts.
        vocab_ids: the vocabulary ids whose raw scores are computed; None for log-probabilities.
        soft: the soft vectors, or None where no template has any.
        prefix: prefixes of the prompts, computed earlier.
        prefix_index: for each prompt the index of its prefix in `prefix`.

    Returns:
        Log-probabilities of the words of each prompt's scorer in nats, shape (batch, most words), up to a constant per
        prompt; with `lengths` divided by them and without such a constant. Then the hidden states, shape (batch, states
        times state width) or (0, state width).
    """
    first = scorers[0]
    backbone = first.backbone

    def forward(model_inputs: Sequence[Sequence[ModelInput]]) -> tuple[Tensor, Tensor]:
        """The sums of the reads, shape (batch, columns), and the hidden states that are read, in one forward pass."""
        cached = prefix.lengths[torch.tensor(prefix_index)].tolist() if prefix is not None else [0] * len(prompts)
        sequences = [(i, model_input) for i, inputs in enumerate(model_inputs) for model_input in inputs]
        positions = [model_input.positions for _, model_input in sequences]
        starts = [0, *accumulate(map(len, positions))]
        outputs = backbone.outputs(
            [model_input.ids[cached[i] :] for i, model_input in sequences],
            [
                [position - cached[i] for position in wanted]
                for (i, _), wanted in zip(sequences, positions, strict=True)
            ],
            [
                model_input.source_state
                or [position - cached[i] for position in chain.from_iterable(model_input.states)]
                for i, model_input in sequences
            ],
            states_of="encoder" if any(model_input.source_state for _, model_input in sequences) else first.states_of,
            token_type_ids=[model_input.token_type_ids for _, model_input in sequences],
            sources=[model_input.source for _, model_input in sequences],
            soft=soft,
            vocab_ids=vocab_ids,
            prefix=prefix,
            prefix_index=[prefix_index[i] for i, _ in sequences] if prefix is not None else (),
            late_positions=[late_positions(prompts[i], model_input) for i, model_input in sequences]
            if soft is not None and soft.late
            else (),
        )
        index, token, column = _transposed(
            [
                (starts[k] + bisect_left(positions[k], read.position), read.token, i * columns + read.column)
                for k, (i, model_input) in enumerate(sequences)
                for read in model_input.reads
            ],
            outputs.logits,
            width=3,
        )
        if vocab_ids is None:
            scores = gather_log_softmax(outputs.logits, index, token)
        else:
            scores = outputs.logits[index, torch.searchsorted(vocab_ids, token)].float()
        sums = scores.new_zeros(len(prompts) * columns)
        sums = sums.index_add(0, column, scores).view(len(prompts), columns)
        groups = [
            len(group)
            for _, model_input in sequences
            for group in ((model_input.source_state,) if model_input.source_state else model_input.states)
        ]
        # one sequence of each prompt reads all of its states
        return sums, _means(outputs.states, groups).view(len(prompts), -1) if groups else outputs.states

    columns = max(scorer.plan.n_columns for scorer in scorers)
    model_inputs = [scorer.model_inputs(prompt) for scorer, prompt in zip(scorers, prompts, strict=True)]
    words, states = forward(model_inputs)
    if isinstance(first.plan, AdaptivePlan):
        words = first.plan.scores(prompts, words, lambda inputs: forward(inputs)[0])
    divisors = [prompt.choice_lengths or scorer.lengths or () for scorer, prompt in zip(scorers, prompts, strict=True)]
    if any(divisors):
        padded = [(*lengths, *(1,) * (words.shape[1] - len(lengths))) for lengths in divisors]
        words = words / torch.tensor(padded, device=words.device)
    counts = [len(prompt.choices) or words.shape[1] for prompt in prompts]
    if min(counts) < words.shape[1]:  # a word that a prompt lacks is impossible
        missing = torch.arange(words.shape[1]) >= torch.tensor(counts)[:, None]
        words = words.masked_fill(missing.to(words.device), -torch.inf)
    return words, states


def _means(states: Tensor, counts: Sequence[int]) -> Tensor:
    """Means of the states of each group, which follow one another."""
    sizes = torch.tensor(counts, device=states.device)
    sums = states.new_zeros(len(counts), states.shape[1])
    owners = torch.repeat_interleave(torch.arange(len(counts), device=states.device), sizes)
    return sums.index_add(0, owners, states) / sizes[:, None]


def _transposed(tuples: Sequence[tuple[int, ...]], like: Tensor, width: int) -> Tensor:
    """Tuples as columns on the device of `like`, shape (width, tuples); an empty list gives empty columns."""
    return torch.tensor(tuples, dtype=torch.long, device=like.device).view(-1, width).T.contiguous()


def _constant_length(prompt: EncodedPrompt) -> int:
    """Number of ids before the first soft slot, or before the id from which the mask is predicted."""
    return next((i for i, token in enumerate(prompt.left) if token < 0), len(prompt.left) - 1)
