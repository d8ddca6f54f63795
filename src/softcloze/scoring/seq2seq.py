"""Scoring plans for seq2seq models: the ids of their encoder and their decoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Self

from softcloze.encoding import EncodedPrompt, PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.scoring.plan import LogitRead, ModelInput, Plan


@dataclass(frozen=True, slots=True)
class Infilling:
    """A prompt written as the infilling task of a seq2seq model's pretraining.

    For models like T5 the masks are sentinels, and the decoder writes each sentinel and the words that replace it:

        encoder   A delight . It was <extra_id_0> . </s>
        decoder   <pad> <extra_id_0> good

    For models like BART they are mask tokens, each for any number of tokens, and the decoder repeats the whole text:

        encoder   <s> A delight . It was <mask> . </s>
        decoder   </s> <s> A delight . It was good

    So a word is predicted after the same tokens as in pretraining, and BART's first token of it is the one that
    transformers predicts at `<mask>` from the encoder's ids alone. Soft slots are in the encoder only, since a decoder
    cannot write them. An instruction-tuned model, such as FLAN-T5, is prompted in the same way, which it knows from its
    pretraining.

    Attributes:
        source: ids of the encoder.
        opening: ids of the decoder before the first answer.
        joints: ids of the decoder between each answer and the next.

    Source:
        Raffel et al., JMLR 2020, arXiv:1910.10683, section 3.1.4 (T5); Lewis et al., ACL 2020, arXiv:1910.13461,
        section 2.2 (BART). Gao, Fisch and Chen, ACL 2021, arXiv:2012.15723, have T5 fill in text in this way.
    """

    source: tuple[int, ...]
    opening: tuple[int, ...]
    joints: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, prompt: EncodedPrompt, prompt_tokenizer: PromptTokenizer, start: int) -> Self:
        """Write `prompt` for a model with this tokenizer, whose decoder begins with the token `start`.

        Raises:
            EncodingError: more masks than sentinels.
        """
        masks = len(prompt.between) + 1
        sentinels = prompt_tokenizer.sentinels
        if sentinels and masks > len(sentinels):
            raise EncodingError(
                f"the template has {masks} masks, and this model has only {len(sentinels)} sentinels for them"
            )
        blanks = sentinels[:masks] or (prompt_tokenizer.mask_marker_id,) * masks
        chunks = (prompt.left, *prompt.between)
        source = chain(*((*chunk, blank) for chunk, blank in zip(chunks, blanks, strict=True)), prompt.right)
        if sentinels:
            written: list[tuple[int, ...]] = [(blank,) for blank in blanks]
        else:
            written = [tuple(token for token in chunk if token >= 0) for chunk in chunks]
        return cls(tuple(source), (start, *written[0]), tuple(written[1:]))


class Seq2seqPlan(Plan):
    """Score the chain of conditional probabilities of the tokens that the decoder writes for the masks.

    log P(word | text on both sides); of several words, with those at earlier masks written out. The text between and
    after the masks is in the encoder and is not scored. The encoder runs once for a prompt; words with a common prefix
    share the decoder's sequences, so that words of one token need one sequence together.

    The end of a word is not scored, as for a causal model: "good" is as likely as all answers that begin with it.
    """

    def __init__(
        self, conjunctions: Sequence[tuple[tuple[int, ...], ...]], prompt_tokenizer: PromptTokenizer, start: int
    ):
        """Plan for the token ids of a word at each mask.

        Args:
            conjunctions: words at the masks, in their order; a single word each for one mask.
            prompt_tokenizer: the tokenizer.
            start: the token with which the decoder begins.
        """
        self.words = tuple(tuple(chain(*conjunction)) for conjunction in conjunctions)
        self._conjunctions = tuple(conjunctions)
        self._prompt_tokenizer = prompt_tokenizer
        self._start = start
        # ids before the last token; the same for all words where only that token differs
        self.normalised = len({(*first, last[:-1]) for *first, last in conjunctions}) > 1

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """Sequences of the decoder with all ids after which a token of some word is read."""
        infilling = Infilling.of(prompt, self._prompt_tokenizer, self._start)
        steps = [list(_steps(conjunction, infilling.joints)) for conjunction in self._conjunctions]
        contexts = sorted({context for word_steps in steps for context, _ in word_steps})
        # in this order a context comes directly before those that continue it
        ends = [context for context, following in pairwise(contexts) if following[: len(context)] != context]
        ends += contexts[-1:]
        end_of = {end[:k]: i for i, end in reversed(list(enumerate(ends))) for k in range(len(end) + 1)}
        reads: list[list[LogitRead]] = [[] for _ in ends]
        first = len(infilling.opening) - 1
        for column, word_steps in enumerate(steps):
            for context, token in word_steps:
                reads[end_of[context]].append(LogitRead(first + len(context), token, column))
        return [
            ModelInput(infilling.opening + end, tuple(end_reads), source=infilling.source)
            for end, end_reads in zip(ends, reads, strict=True)
        ]


def _steps(
    conjunction: Sequence[tuple[int, ...]], joints: Sequence[tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Each token of the words, after the ids that the decoder has written since its opening.

    >>> list(_steps([(5, 6), (7,)], [(90,)]))
    [((), 5), ((5,), 6), ((5, 6, 90), 7)]
    """
    context: tuple[int, ...] = ()
    for word, joint in zip(conjunction, (*joints, ()), strict=True):
        for token in word:
            yield context, token
            context += (token,)
        context += joint
