"""What the encoder and the decoder of a seq2seq model read to score label words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Self

from softcloze.encoding import EncodedPrompt, PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.scoring.plan import LogitRead, ModelInput, Plan


@dataclass(frozen=True, slots=True)
class Infilling:
    """A prompt as a seq2seq model learnt to fill in what is left out of a text.

    To T5's kind the masks are sentinels, and the decoder writes each sentinel with what belongs in its place:

        encoder   A delight . It was <extra_id_0> . </s>
        decoder   <pad> <extra_id_0> good

    To BART's kind they are mask tokens, one for any number of tokens, and the decoder writes the whole text anew:

        encoder   <s> A delight . It was <mask> . </s>
        decoder   </s> <s> A delight . It was good

    So a word is predicted behind the same tokens as in pretraining, and BART's first token of it is the one that
    transformers predicts at `<mask>` where it is given the encoder's row alone. Soft slots are the encoder's: they
    stand for no words that a decoder could write. A model tuned to answer outright, such as FLAN-T5, is asked in the
    same way, which it knows from its pretraining.

    Attributes:
        source: what the encoder reads.
        opening: what the decoder has read before the first answer.
        joints: what it reads between each answer and the next.

    Source:
        Raffel et al., JMLR 2020, arXiv:1910.10683, section 3.1.4 (T5); Lewis et al., ACL 2020, arXiv:1910.13461,
        section 2.2 (BART). Gao, Fisch and Chen, ACL 2021, arXiv:2012.15723, have T5 fill in text in this way.
    """

    source: tuple[int, ...]
    opening: tuple[int, ...]
    joints: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, prompt: EncodedPrompt, prompt_tokenizer: PromptTokenizer, start: int) -> Self:
        """Write `prompt` for a model with this vocabulary, whose decoder begins with the token `start`.

        Raises:
            EncodingError: there are more masks than sentinels.
        """
        masks = len(prompt.between) + 1
        sentinels = prompt_tokenizer.sentinels
        if sentinels and masks > len(sentinels):
            raise EncodingError(f"there are {masks} masks, and this model has only {len(sentinels)} sentinels for them")
        blanks = sentinels[:masks] or (prompt_tokenizer.mask_marker_id,) * masks
        pieces = (prompt.left, *prompt.between)
        source = chain(*((*piece, blank) for piece, blank in zip(pieces, blanks, strict=True)), prompt.right)
        if sentinels:
            written: list[tuple[int, ...]] = [(blank,) for blank in blanks]
        else:
            written = [tuple(token for token in piece if token >= 0) for piece in pieces]
        return cls(tuple(source), (start, *written[0]), tuple(written[1:]))


class Seq2seqPlan(Plan):
    """A seq2seq model: the chain of conditional probabilities of the tokens that the decoder writes for the masks.

    log P(word | text on both sides); of several words, with those at earlier masks written out. What stands between
    and behind the masks the encoder has read, and it is not scored. The encoder reads a prompt once, whatever the
    words; words that begin alike share the decoder's rows, so that those of one token take one row together.

    Where a word ends is not scored, as it is not for a causal model: "good" is as likely as all answers that begin so.
    """

    def __init__(
        self, conjunctions: Sequence[tuple[tuple[int, ...], ...]], prompt_tokenizer: PromptTokenizer, start: int
    ):
        """Plan for the token ids of a word at each mask.

        Args:
            conjunctions: of words at the masks, in their order; at one mask, each a single word.
            prompt_tokenizer: the tokenizer.
            start: the token with which the decoder begins.
        """
        self.words = tuple(tuple(chain(*conjunction)) for conjunction in conjunctions)
        self._conjunctions = tuple(conjunctions)
        self._vocabulary = prompt_tokenizer
        self._start = start
        # what is known where the last token is read; the same for all where only that token differs
        self.normalised = len({(*first, last[:-1]) for *first, last in conjunctions}) > 1

    def queries(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """Rows of the decoder that pass through everything behind which a token of some word is read."""
        written = Infilling.of(prompt, self._vocabulary, self._start)
        steps = [list(_steps(conjunction, written.joints)) for conjunction in self._conjunctions]
        known = sorted({before for own in steps for before, _ in own})
        # in this order what goes on from something stands directly behind it
        ends = [one for one, behind in pairwise(known) if behind[: len(one)] != one] + known[-1:]
        row_of = {end[:k]: row for row, end in reversed(list(enumerate(ends))) for k in range(len(end) + 1)}
        reads: list[list[LogitRead]] = [[] for _ in ends]
        first = len(written.opening) - 1
        for cell, own in enumerate(steps):
            for before, token in own:
                reads[row_of[before]].append(LogitRead(first + len(before), token, cell))
        return [
            ModelInput(written.opening + end, tuple(own), source=written.source)
            for end, own in zip(ends, reads, strict=True)
        ]


def _steps(
    conjunction: Sequence[tuple[int, ...]], joints: Sequence[tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Each token of the words, behind what the decoder has written since its opening.

    >>> list(_steps([(5, 6), (7,)], [(90,)]))
    [((), 5), ((5,), 6), ((5, 6, 90), 7)]
    """
    before: tuple[int, ...] = ()
    for word, joint in zip(conjunction, (*joints, ()), strict=True):
        for token in word:
            yield before, token
            before += (token,)
        before += joint
