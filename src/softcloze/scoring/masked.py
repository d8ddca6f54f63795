"""Scoring plans for masked language models."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from softcloze.encoding import EncodedPrompt
from softcloze.scoring.plan import (
    AdaptivePlan,
    Conjunction,
    LogitRead,
    ModelInput,
    Plan,
    Reader,
    fill_mask,
    token_type_ids_of,
)
from softcloze.verbalizer import Decoding


def masked_plan(words: Sequence[tuple[int, ...]], mask_id: int, decoding: Decoding) -> Plan:
    """Choose the plan of a masked model for `words`, token ids of each label word."""
    if max(map(len, words), default=0) <= 1:  # a single token is decoded in one way only
        return MaskedPlan(words, mask_id)
    match decoding:
        case "together":
            return MaskedPlan(words, mask_id)
        case "left_to_right":
            return LeftToRightPlan(words, mask_id)
        case "most_confident":
            return MostConfidentPlan(words, mask_id)


class MaskedPlan(Plan):
    """Use as many mask tokens as the word has tokens, in one forward pass.

    A word's score is the sum of its tokens' log-probabilities, each given the others masked.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3: their training does it in one pass too, but
        with as many masks for all words as the longest one has tokens.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int):
        self.words = tuple(words)
        self._mask_id = mask_id
        self._reads: dict[tuple[int, ...], list[LogitRead]] = {}  # ids at the mask -> logits to read there
        for i, word in sorted(enumerate(words), key=lambda pair: len(pair[1])):
            for k, token in enumerate(word):
                self._reads.setdefault(self._filling(word, k), []).append(LogitRead(k, token, i))
        self.normalised = len(self._reads) > 1

    def _filling(self, word: tuple[int, ...], k: int) -> tuple[int, ...]:
        """The ids at the mask where token `k` of a word is read."""
        return (self._mask_id,) * len(word)

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """One for each different filling of the mask."""
        return len(self._reads)

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """One sequence for each different filling of the mask."""
        return [_model_input(prompt, filling, reads) for filling, reads in self._reads.items()]


class LeftToRightPlan(MaskedPlan):
    """Decode a word from its first token to its last.

    Each token is read where those before it are filled in and it and the rest of the word are masked. So all sequences
    are known in advance, and words of the same number of tokens share those of a common prefix.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118: decoding strategy "ltr" of their code, pet/task_helpers.py.
        It takes a pass for each token; the scores are the same.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int):
        super().__init__(words, mask_id)
        self.normalised = len({word[:-1] for word in words}) > 1

    def _filling(self, word: tuple[int, ...], k: int) -> tuple[int, ...]:
        return word[:k] + (self._mask_id,) * (len(word) - k)


class MostConfidentPlan(AdaptivePlan):
    """Decode the tokens of each word one at a time, always the one that the model is most confident of.

    With all of the word masked, the likeliest of its tokens is filled in; with that one filled in, the likeliest of the
    others, and so on. Words of k tokens take k forward passes, each with all words of all prompts; words with the same
    tokens filled in share a sequence. The choice has no gradient, the score of the chosen token has one. Where two
    tokens are equally likely but for rounding, the choice, and with it the score, may depend on the rest of the batch.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3, and decoding strategy "default" of their code,
        pet/task_helpers.py, which takes one prompt at a time; the scores are the same. As they say, these are not
        probabilities of one distribution, since each word has an order of its own.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int):
        self.words = tuple(words)
        self._mask_id = mask_id
        lengths = torch.tensor([len(word) for word in words])
        self._longest = max(map(len, words))
        self._tokens = torch.arange(self._longest) < lengths[:, None]  # positions that words have, (words, longest)
        self.normalised = self._longest > 1

    @property
    def n_columns(self) -> int:
        """Words times the length of the longest; the columns after the end of a shorter word stay 0."""
        return self._tokens.numel()

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """One sequence for each length of a word, all of it masked."""
        return self._pass(prompt, self._tokens.tolist())

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """A sequence for each length, and later one for each word of several tokens."""
        return max(len(set(map(len, self.words))), sum(len(word) > 1 for word in self.words))

    def scores(self, prompts: Sequence[EncodedPrompt], first: Tensor, read: Reader) -> Tensor:
        """Fill in one token of each unfinished word after each forward pass; see `AdaptivePlan.scores`."""
        masked = self._tokens.repeat(len(prompts), 1, 1)
        sums, chosen = first, []
        for step in range(self._longest):
            if step:
                words = zip(prompts, masked.tolist(), strict=True)
                sums = read([self._pass(prompt, still_masked) for prompt, still_masked in words])
            logs = sums.view(masked.shape)
            candidates = logs.detach().cpu().masked_fill(~masked, -torch.inf)
            likeliest = candidates.argmax(-1, keepdim=True)
            # for a complete word nothing was read, and the sum over nothing is 0
            chosen.append(logs.gather(-1, likeliest.to(logs.device)))
            masked.scatter_(-1, likeliest, False)
        return torch.cat(chosen, -1).sum(-1)

    def _pass(self, prompt: EncodedPrompt, masked: Sequence[Sequence[bool]]) -> list[ModelInput]:
        """One sequence for each way to fill in words, of whose tokens those in `masked` are masked."""
        reads: dict[tuple[int, ...], list[LogitRead]] = {}
        for i, (word, mask) in enumerate(zip(self.words, masked, strict=True)):
            if any(mask):
                filling = tuple(self._mask_id if mask[k] else token for k, token in enumerate(word))
                first = i * self._longest
                word_reads = [LogitRead(k, token, first + k) for k, token in enumerate(word) if mask[k]]
                reads.setdefault(filling, []).extend(word_reads)
        return [_model_input(prompt, filling, wanted) for filling, wanted in reads.items()]


def _model_input(prompt: EncodedPrompt, filling: tuple[int, ...], reads: Sequence[LogitRead]) -> ModelInput:
    """The sequence with `filling` at the mask; positions of `reads` are counted from there."""
    mask = len(prompt.left)
    return ModelInput(
        prompt.left + filling + prompt.right,
        tuple(LogitRead(mask + read.position, read.token, read.column) for read in reads),
        token_type_ids_of(prompt, len(filling)),
    )


class MaskedRules(Plan):
    """Score conjunctions of words at several masks, all masks in one forward pass.

    A conjunction's score is the sum of its words' log-probabilities, each given all the others masked. While the words
    of one mask are scored, every other mask has as many mask tokens as the shortest of its own words. So where the
    words of each mask have one length there is one sequence, and one more for every further length.
    """

    def __init__(self, conjunctions: Sequence[Conjunction], mask_id: int):
        self.words = tuple(tuple(chain(*conjunction)) for conjunction in conjunctions)
        self._mask_id = mask_id
        lengths = [sorted({len(word) for word in words}) for words in zip(*conjunctions, strict=True)]
        shortest = tuple(mask_lengths[0] for mask_lengths in lengths)
        # the masks' lengths in each sequence -> words to read there: the mask, its word, the conjunction
        self._words: dict[tuple[int, ...], list[tuple[int, tuple[int, ...], int]]] = {shortest: []}
        for i, conjunction in enumerate(conjunctions):
            for mask, word in enumerate(conjunction):
                tried = (*shortest[:mask], len(word), *shortest[mask + 1 :])
                self._words.setdefault(tried, []).append((mask, word, i))
        self.normalised = max(map(len, lengths)) > 1

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """One sequence with the shortest length at every mask, and one for each further length at one mask."""
        return [self._model_input(prompt, lengths, words) for lengths, words in self._words.items()]

    def _model_input(
        self, prompt: EncodedPrompt, lengths: Sequence[int], words: Sequence[tuple[int, tuple[int, ...], int]]
    ) -> ModelInput:
        *first, last = lengths
        starts = []
        for length in first:
            starts.append(len(prompt.left))
            prompt = fill_mask(prompt, (self._mask_id,) * length)
        starts.append(len(prompt.left))
        return ModelInput(
            prompt.left + (self._mask_id,) * last + prompt.right,
            tuple(LogitRead(starts[mask] + k, token, i) for mask, word, i in words for k, token in enumerate(word)),
            token_type_ids_of(prompt, last),
        )
