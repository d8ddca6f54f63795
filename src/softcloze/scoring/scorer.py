"""Score label words in one batch, with gradient."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from softcloze.backbone import Backbone, PrefixCache, run_length_bucketed
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.families import with_state
from softcloze.scoring.plan import AdaptivePlan, ModelInput, Plan


class Scorer:
    """Scores of label words, hidden states at the mask, or both, from a backbone.

    Both together are called features: shape (batch, features), first the words, then the hidden state.

    Attributes:
        backbone: the model.
        plan: the way to score the label words.
        lengths: divisors of the words' scores, if any.
        normalised: whether words have log-probabilities over the whole vocabulary, not up to a constant.
        states: whether the hidden state at the mask is read as well.
    """

    def __init__(
        self,
        backbone: Backbone,
        plan: Plan,
        lengths: Sequence[int] | None = None,
        *,
        normalised: bool = False,
        states: bool = False,
    ):
        """Score the words of `plan` with `backbone`.

        Args:
            backbone: the model.
            plan: from `plan_words` or `plan_rules`; without words where only the hidden state is wanted.
            lengths: divisors of the words' scores; they require normalised ones, since a constant would not cancel.
            normalised: whether words get log-probabilities over the whole vocabulary, not up to a constant.
            states: whether the hidden state at the mask is read as well.
        """
        self.backbone = backbone
        self.plan = plan
        self.lengths = tuple(lengths) if lengths is not None else None
        self.normalised = plan.normalised or normalised or lengths is not None
        self.states = states
        self._divisors = torch.tensor(self.lengths, device=backbone.device) if self.lengths is not None else None
        # raw scores of the label words' own tokens suffice unless normalisers differ
        self._vocab_ids = torch.tensor(sorted({token for word in plan.words for token in word} or {0}))

    @property
    def words(self) -> tuple[tuple[int, ...], ...]:
        """Token ids of each label word; of a conjunction, those of all its words."""
        return self.plan.words

    @property
    def n_features(self) -> int:
        """Number of features of a prompt."""
        return len(self.words) + (self.backbone.state_width if self.states else 0)

    @property
    def batch_key(self) -> Hashable:
        """Scorers with equal keys can be joined to share batches."""
        return self.normalised, self.states, self if isinstance(self.plan, AdaptivePlan) else None

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """Upper bound of the sequences that the model computes for a prompt in one forward pass."""
        return (self.plan.max_inputs(prompt) if self.words else 0) + self.states

    def cost(self, prompt: EncodedPrompt, cached: int) -> int:
        """Tokens that the model computes for a prompt, of which `cached` at the start are in a prefix cache."""
        longest_word = max(map(len, self.words), default=1)
        return (len(prompt) - cached + longest_word) * self.max_inputs(prompt)

    def batch(
        self,
        prompts: Sequence[EncodedPrompt],
        soft: Tensor | None,
        prefix: PrefixCache | None = None,
        prefix_index: Sequence[int] = (),
    ) -> Tensor:
        """Features of one batch, differentiable in `soft`.

        It takes one forward pass, or with an adaptive plan one for each token of the longest word.

        Args:
            prompts: encoded prompts.
            soft: the soft vectors, shape (soft, width), or None where the template has none.
            prefix: prefixes of the prompts, computed earlier.
            prefix_index: for each prompt the index of its prefix in `prefix`.

        Returns:
            Log-probabilities of the words in nats, up to a constant per prompt; with `lengths` divided by them and
            without such a constant; then the hidden states. Shape (batch, features).
        """
        model_inputs = [self.plan.model_inputs(prompt) if self.words else [] for prompt in prompts]
        if self.states:
            pairs = zip(model_inputs, prompts, strict=True)
            model_inputs = [with_state(self.backbone, inputs, prompt) for inputs, prompt in pairs]
        words, states = self._forward(model_inputs, soft, prefix, prefix_index)
        if isinstance(self.plan, AdaptivePlan):
            words = self.plan.scores(
                prompts, words, lambda inputs: self._forward(inputs, soft, prefix, prefix_index)[0]
            )
        if self._divisors is not None:
            words = words / self._divisors
        return torch.cat([words, states], -1) if self.states else words

    def _forward(
        self,
        model_inputs: Sequence[Sequence[ModelInput]],
        soft: Tensor | None,
        prefix: PrefixCache | None,
        prefix_index: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Run the sequences of each prompt in one forward pass.

        Returns:
            The sums of the reads, shape (batch, columns), and where hidden states are read, one for each prompt,
            shape (batch, state width).
        """
        count, columns = len(model_inputs), self.plan.n_columns
        cached = prefix.lengths[torch.tensor(prefix_index)].tolist() if prefix is not None else [0] * count
        sequences: list[tuple[int, ...]] = []
        token_type_ids: list[tuple[int, ...] | None] = []
        sources: list[tuple[int, ...]] = []
        prefixes: list[int] = []
        positions: list[list[int]] = []
        reads: list[tuple[int, int, int, int]] = []  # sequence, index among its positions, token, sum
        states: list[tuple[int, int]] = []  # sequence, index among its positions
        for i, inputs in enumerate(model_inputs):
            for model_input in inputs:
                wanted = model_input.positions
                index_of = {position: k for k, position in enumerate(wanted)}
                if model_input.state is not None:
                    states.append((len(sequences), index_of[model_input.state]))
                reads += [
                    (len(sequences), index_of[read.position], read.token, i * columns + read.column)
                    for read in model_input.reads
                ]
                sequences.append(model_input.ids[cached[i] :])
                token_type_ids.append(model_input.token_type_ids)
                sources.append(model_input.source)
                prefixes += prefix_index[i : i + 1]  # none without a prefix
                positions.append([position - cached[i] for position in wanted])
        # sequences with fewer reads repeat their last one
        most = max(map(len, positions))
        padded = torch.tensor([wanted + wanted[-1:] * (most - len(wanted)) for wanted in positions])

        vocab_ids = None if self.normalised else self._vocab_ids.to(self.backbone.device)
        outputs = self.backbone.outputs(
            sequences,
            padded,
            token_type_ids=token_type_ids,
            sources=sources,
            soft=soft,
            vocab_ids=vocab_ids,
            prefix=prefix,
            prefix_index=prefixes,
        )
        sequence, index, token, column = self._transposed(reads, 4)
        if vocab_ids is None:
            scores = outputs.logits.log_softmax(-1)
        else:
            scores, token = outputs.logits, torch.searchsorted(vocab_ids, token)
        sums = scores.new_zeros(count * columns)
        sums = sums.index_add(0, column, scores[sequence, index, token]).view(count, columns)
        sequence, index = self._transposed(states, 2)
        return sums, outputs.states[sequence, index]

    def _transposed(self, tuples: Sequence[tuple[int, ...]], width: int) -> Tensor:
        """Tuples as columns, shape (width, tuples); an empty list gives empty columns."""
        return torch.tensor(tuples, dtype=torch.long, device=self.backbone.device).view(-1, width).T.contiguous()

    def cache_prefixes(self, prompts: Sequence[EncodedPrompt], memory: int) -> PrefixCache | None:
        """Compute the prefix of each prompt before its first soft slot, which training does not change.

        Args:
            prompts: encoded prompts.
            memory: bytes that it may take; a larger cache is kept in a file (see `PrefixCache.empty`).

        Returns:
            One prefix per prompt; None if a prompt has none or the model does not support prefix caches.
        """
        lengths = [_constant_length(prompt) for prompt in prompts]
        if min(lengths) < 1 or not self.backbone.supports_prefix_cache:
            return None
        cache: PrefixCache | None = None

        def prefill(chosen: list[int]) -> None:
            nonlocal cache
            part = self.backbone.prefill([prompts[i].left[: lengths[i]] for i in chosen])
            if cache is None:  # the longest come first, and all are padded to them
                cache = PrefixCache.empty(part, len(prompts), memory)
            cache.put(chosen, part)

        run_length_bucketed(lengths, lambda i: lengths[i], prefill, self.backbone.token_budget)
        return cache


def _constant_length(prompt: EncodedPrompt) -> int:
    """Number of ids before the first soft slot, or before the id from which the mask is predicted."""
    return next((i for i, token in enumerate(prompt.left) if token < 0), len(prompt.left) - 1)
