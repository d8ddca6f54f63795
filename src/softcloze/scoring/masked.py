"""Scoring plans for masked language models."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from softcloze.encoding import EncodedPrompt
from softcloze.scoring.plan import Conjunction, LogitRead, ModelInput, Plan, Reader, fill, token_type_ids_of
from softcloze.verbalizer import Decoding


class MaskedPlan(Plan):
    """A masked model: as many mask tokens as the word has tokens, filled in one pass.

    A word's score is the sum of its tokens' log-probabilities, each given the others masked.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3: their training does it in one pass too, but
        with as many masks for all words as the longest one has tokens.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int):
        """Plan for `words`, token ids of each label word."""
        self.words = tuple(words)
        self._mask_id = mask_id
        lengths = sorted({len(word) for word in words})
        self._by_length = [(n, [(i, word) for i, word in enumerate(words) if len(word) == n]) for n in lengths]
        self.normalised = len(lengths) > 1

    def most_rows(self, prompt: EncodedPrompt) -> int:
        """One for each length."""
        return len(self._by_length)

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """One row for each length that label words have."""
        at = len(prompt.left)
        return [
            ModelInput(
                prompt.left + (self._mask_id,) * length + prompt.right,
                tuple(LogitRead(at + j, token, i) for i, word in words for j, token in enumerate(word)),
                token_type_ids_of(prompt, length),
            )
            for length, words in self._by_length
        ]


def masked_plan(words: Sequence[tuple[int, ...]], mask_id: int, decoding: Decoding) -> Plan:
    """Plan how a masked model scores `words`, token ids of each label word."""
    match decoding:
        case "together":
            return MaskedPlan(words, mask_id)
        case "left_to_right":
            return LeftToRightPlan(words, mask_id)
        case "most_confident":
            return MostConfidentPlan(words, mask_id)


class LeftToRightPlan(Plan):
    """A masked model that fills in a word from its first token to its last.

    Each token is read where those before it are filled in and it and the rest of the word are masked. So all rows are
    known before any is read, and words of as many tokens that begin alike share theirs.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118: decoding strategy "ltr" of their code, pet/task_helpers.py.
        It takes a pass for each token; the scores are the same.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int):
        """Plan for `words`, token ids of each label word."""
        self.words = tuple(words)
        self._rows: dict[tuple[int, ...], list[LogitRead]] = {}  # what is in the mask's place -> what is read there
        for i, word in enumerate(words):
            for k, token in enumerate(word):
                filling = word[:k] + (mask_id,) * (len(word) - k)
                self._rows.setdefault(filling, []).append(LogitRead(k, token, i))
        self.normalised = len({word[:-1] for word in words}) > 1

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """One row for each beginning of a word and number of masks that follow it."""
        return [_query(prompt, filling, reads) for filling, reads in self._rows.items()]


class MostConfidentPlan(Plan):
    """A masked model that fills in, again and again, the token of a word that it is surest of.

    With all of the word masked, the token is taken that is the likeliest where it stands; with that one filled in,
    the likeliest of the others, and so on. What is read next depends on what was read: words of k tokens take k
    passes, each with all words of all prompts, and words share a row while the same is filled in of both. The choice
    has no gradient, the score of what was chosen has one. Where two tokens are equally likely but for rounding, the
    choice between them, and with it the score, may depend on the company that a prompt keeps.

    Source:
        Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3, and decoding strategy "default" of their code,
        pet/task_helpers.py, which takes one prompt at a time; the scores are the same. As they say, these are no
        probabilities of one distribution, since each word has an order of its own.
    """

    adaptive = True

    def __init__(self, words: Sequence[tuple[int, ...]], mask_id: int):
        """Plan for `words`, token ids of each label word."""
        self.words = tuple(words)
        self._mask_id = mask_id
        lengths = torch.tensor([len(word) for word in words])
        self._longest = max(map(len, words), default=0)
        self._places = torch.arange(self._longest) < lengths[:, None]  # the places that words have, (words, longest)
        self.normalised = self._longest > 1

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """One row for each length that label words have."""
        return self._round(prompt, self._places.tolist())

    def most_rows(self, prompt: EncodedPrompt) -> int:
        """A row for each length, and later one for each word of several tokens."""
        return max(len(set(map(len, self.words))), sum(len(word) > 1 for word in self.words))

    def scores(self, prompts: Sequence[EncodedPrompt], read: Reader) -> Tensor:
        """As in `Plan`, with a call of `read` for each token of the longest word."""
        still_masked = self._places.repeat(len(prompts), 1, 1)
        chosen = []
        for _ in range(self._longest):
            rows = [self._round(prompt, own) for prompt, own in zip(prompts, still_masked.tolist(), strict=True)]
            found = read(rows, self._places.numel()).view(still_masked.shape)
            candidates = found.detach().cpu().masked_fill(~still_masked, -torch.inf)
            likeliest = candidates.argmax(-1, keepdim=True)
            # of a word with nothing left to fill in, nothing was read, and the sum over nothing is 0
            chosen.append(found.gather(-1, likeliest.to(found.device)))
            still_masked.scatter_(-1, likeliest, False)
        return torch.cat(chosen, -1).sum(-1)

    def _round(self, prompt: EncodedPrompt, still_masked: Sequence[Sequence[bool]]) -> list[ModelInput]:
        """One row for each way in which unfinished words are filled in, to read all that is masked in it.

        Args:
            prompt: the prompt.
            still_masked: for each word, which of its places are masked; beyond its end there are none.
        """
        rows: dict[tuple[int, ...], list[LogitRead]] = {}
        for i, (word, masked) in enumerate(zip(self.words, still_masked, strict=True)):
            if any(masked):
                filling = tuple(self._mask_id if masked[k] else token for k, token in enumerate(word))
                first = i * self._longest
                reads = [LogitRead(k, token, first + k) for k, token in enumerate(word) if masked[k]]
                rows.setdefault(filling, []).extend(reads)
        return [_query(prompt, filling, reads) for filling, reads in rows.items()]


def _query(prompt: EncodedPrompt, filling: tuple[int, ...], reads: Sequence[LogitRead]) -> ModelInput:
    """The row with `filling` in the mask's place, read at places that are counted from there."""
    at = len(prompt.left)
    return ModelInput(
        prompt.left + filling + prompt.right,
        tuple(LogitRead(at + read.position, read.token, read.cell) for read in reads),
        token_type_ids_of(prompt, len(filling)),
    )


class MaskedRules(Plan):
    """A masked model: all masks of a row are filled in one pass.

    A conjunction's score is the sum of its words' log-probabilities, each given all the others masked. While the
    words of one mask are tried, every other mask has as many mask tokens as the shortest of its own words, so where
    the words of each mask have one length, there is one row, and else one more for every further length.
    """

    def __init__(self, conjunctions: Sequence[Conjunction], mask_id: int):
        """Plan for `conjunctions`."""
        self.words = tuple(tuple(chain(*conjunction)) for conjunction in conjunctions)
        self._mask_id = mask_id
        lengths = [sorted({len(word) for word in words}) for words in zip(*conjunctions, strict=True)]
        shortest = tuple(own[0] for own in lengths)
        # the masks' lengths in each row -> what is read there: the mask, its word, the conjunction
        self._rows: dict[tuple[int, ...], list[tuple[int, tuple[int, ...], int]]] = {shortest: []}
        for i, conjunction in enumerate(conjunctions):
            for mask, word in enumerate(conjunction):
                row = (*shortest[:mask], len(word), *shortest[mask + 1 :])
                self._rows.setdefault(row, []).append((mask, word, i))
        self.normalised = max(map(len, lengths)) > 1

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """One row for each combination of lengths that is read."""
        queries = []
        for lengths, words in self._rows.items():
            *first, last = lengths
            starts, filled = [], prompt
            for length in first:
                starts.append(len(filled.left))
                filled = fill(filled, (self._mask_id,) * length)
            starts.append(len(filled.left))
            queries.append(
                ModelInput(
                    filled.left + (self._mask_id,) * last + filled.right,
                    tuple(
                        LogitRead(starts[mask] + j, token, i) for mask, word, i in words for j, token in enumerate(word)
                    ),
                    token_type_ids_of(filled, last),
                )
            )
        return queries
