"""Answers as free text: their position and their end, and the token ids of those that are given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from softcloze.encoding.chat import ChatFormat
from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.encoding.word_ids import ids_after
from softcloze.errors import EncodingError, TemplateSyntaxError
from softcloze.formatting import quoted
from softcloze.template import Answer, Literal, Part, Special, Template


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The position and the end of the answer of a template, for one tokenizer.

    A causal model writes it after the prompt. The decoder of a seq2seq model writes it from its start if the template
    ends with it, and otherwise in place of a sentinel.

    Attributes:
        space: white space before an answer, which belongs to it: that after the last line end of the text before.
        stop: the text that ends it; None if the first of `end_ids` does.
        end_ids: ids of the tokens that end a text, the one that is learnt first.
        opening: ids of a decoder between its start and the answer; empty for a causal model.
        fills: whether it replaces a sentinel of the encoder.
    """

    space: str
    stop: str | None
    end_ids: tuple[int, ...]
    opening: tuple[int, ...] = ()
    fills: bool = False


def answer_format(
    template: Template, prompt_tokenizer: PromptTokenizer, chat: ChatFormat | None, space: str
) -> AnswerFormat:
    """Find the position and the end of the answer of `template`, for a model with this tokenizer.

    Args:
        template: a template with an answer that `validate_answer` accepts.
        prompt_tokenizer: the tokenizer.
        chat: the format of the chat turns, for a template with some.
        space: white space before the answer.

    Raises:
        TemplateSyntaxError: nothing ends the answer: the template has no stop string and the tokenizer no end token, or
            the tokenizer cannot write the stop string.
        EncodingError: the tokenizer's chat template does not write these turns.
    """
    stop, ends, opening = template.stop, prompt_tokenizer.end_ids, tuple[int, ...]()
    if stop is not None and not _can_write(stop, prompt_tokenizer):
        problem = f"this model's tokenizer cannot write the stop string {stop!r}, which would end no answer: "
        hint = "leave it out, since the model's end token ends answers" if ends else "take another"
        raise _at(template, _index(template) + 1, problem + hint)
    fills = fills_sentinel(template, prompt_tokenizer)
    if fills:
        first, *others = prompt_tokenizer.sentinels
        opening, ends = (first,), (*others[:1], *ends)
    elif prompt_tokenizer.decoder:
        opening = tuple(prompt_tokenizer.ids("".join(prompt_tokenizer.prefix_markers)))
    elif chat is not None and stop is None:
        ending = chat.ending([turn.role for turn in template.turns])
        stop, token = _turn_end(ending, prompt_tokenizer)
        ends = tuple(dict.fromkeys((*token, *ends)))
    if stop is None and not ends:
        problem = "nothing ends this answer, since the tokenizer has no eos token: write a stop string after it"
        raise _at(template, _index(template), problem)
    return AnswerFormat(space, stop, ends, opening, fills)


def _can_write(stop: str, prompt_tokenizer: PromptTokenizer) -> bool:
    """Return True if the token ids of an answer and its stop string decode to a text with this string."""
    return stop in prompt_tokenizer.decode(prompt_tokenizer.ids(f"x{stop}"))


def _turn_end(ending: str, prompt_tokenizer: PromptTokenizer) -> tuple[str | None, list[int]]:
    """The text that ends a turn or, if that is a special token, its id; neither if a turn has no end."""
    text, marker = prompt_tokenizer.split_at_special(ending)
    if text.strip():
        return text.rstrip(), []
    return None, prompt_tokenizer.ids(marker)


def fills_sentinel(template: Template, prompt_tokenizer: PromptTokenizer) -> bool:
    """Return whether the answer of `template` stands in the middle of the text of an encoder."""
    after = template.nodes[_index(template) + 1 :]
    return prompt_tokenizer.decoder and bool(after) and template.stop is None


def validate_answer(template: Template, prompt_tokenizer: PromptTokenizer) -> None:
    """Validate that a model with this tokenizer can write the answer of `template`.

    Raises:
        TemplateSyntaxError: it cannot: a masked model, something other than a stop string after the answer of a causal
            model, or a seq2seq model without sentinels for an answer in the middle; shows the place.
    """
    at = _index(template)
    if prompt_tokenizer.mask_id is not None and not prompt_tokenizer.decoder:
        problem = "a masked model fills in words and writes no text: take a causal or a seq2seq model for <answer>"
        raise _at(template, at, problem)
    if prompt_tokenizer.decoder:
        if fills_sentinel(template, prompt_tokenizer) and not prompt_tokenizer.sentinels:
            problem = "this model has no sentinels to fill in, so that its decoder writes the answer alone"
            raise _at(template, at, f"{problem}: put <answer> at the end")
        return
    for i, node in enumerate(template.nodes[at + 1 :], start=at + 1):
        if not isinstance(node, Literal):
            problem = "a causal model writes <answer> with what stands before it, and never sees this"
            hint = "leave it out" if isinstance(node, Special) else "put it before <answer>"
            raise _at(template, i, f"{problem}: {hint}; only a stop string, which is text, may follow")


def _index(template: Template) -> int:
    return next(i for i, node in enumerate(template.nodes) if isinstance(node, Answer))


def _at(template: Template, i: int, problem: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(problem, template.source, *template.spans[i], "answer")


class AnswerEncoder:
    """Encodes given answers of one template.

    An answer and its stop string are tokenized in one run with the prompt, and what follows the ids of the prompt are
    the ids of the answer. Where a tokenizer would join the last token of the prompt with the answer, the prompt keeps
    its ids, since a model that writes has no others before it. The answer then has the ids that it has after other
    text, as a label word has: see `softcloze.encoding.word_ids`.
    """

    def __init__(self, answer: Answer, answers: AnswerFormat, prompt_tokenizer: PromptTokenizer, parts: Sequence[Part]):
        """Prepare for answers in this format; `parts` are the static parts of the template."""
        self._answer, self._format, self._prompt_tokenizer = answer, answers, prompt_tokenizer
        at = next((i for i, part in enumerate(parts) if isinstance(part.node, Answer)), len(parts))
        self._before = parts[at - 1] if at > 0 else None

    def encode(
        self, answers: Sequence[str], prompts: Sequence[str], prompt_ids: Sequence[Sequence[int]], *, specials: bool
    ) -> Iterator[tuple[int, ...]]:
        """Token ids of each answer and its end.

        Args:
            answers: the answers.
            prompts: the text of each prompt up to the answer, with markers.
            prompt_ids: its ids.
            specials: whether these have the special tokens that the tokenizer adds in front.

        Raises:
            EncodingError: an answer has the stop string, which would end it, more tokens than `max`, or characters that
                the vocabulary lacks; names the row.
        """
        several = len(answers) > 1
        texts = [answer + (self._format.stop or "") for answer in answers]
        run = self._run(texts, prompts, prompt_ids, specials=specials)
        for row, (answer, text, ids) in enumerate(zip(answers, texts, run, strict=True)):
            end = self._format.end_ids[:1] if self._format.stop is None else ()
            problem = self._problem(answer, text, ids, len(ids) + len(end))
            if problem:
                raise EncodingError(f"row {row}: {problem}" if several else problem)
            yield (*ids, *end)

    def _run(
        self, texts: Sequence[str], prompts: Sequence[str], prompt_ids: Sequence[Sequence[int]], *, specials: bool
    ) -> Iterator[Sequence[int]]:
        tokenizer, space = self._prompt_tokenizer, self._format.space
        if self._format.fills:
            yield from (ids_after(self._before, space + text, tokenizer) for text in texts)
        elif tokenizer.decoder:
            yield from map(tokenizer.ids, texts)
        else:
            whole = [prompt + space + text for prompt, text in zip(prompts, texts, strict=True)]
            encodings = tokenizer.encode(whole, add_special_tokens=specials)
            for text, ids, encoding in zip(texts, prompt_ids, encodings, strict=True):
                run = tokenizer.without_ending(encoding)
                alike = run[: len(ids)] == list(ids)
                yield run[len(ids) :] if alike else ids_after(self._before, space + text, tokenizer)

    def _problem(self, answer: str, text: str, ids: Sequence[int], count: int) -> str:
        """The problem of an answer; empty if there is none.

        Args:
            answer: the answer.
            text: the answer with its stop string.
            ids: the ids of `text`.
            count: their number, with that of the end token.
        """
        stop, most = self._format.stop, self._answer.max
        if stop is not None and text.find(stop) < len(answer):
            where = "has" if stop in answer else "ends in the start of"
            return (
                f"the answer {quoted(answer)} {where} the stop string {stop!r}, which would end it there; "
                "write another stop string after <answer>, or change the answer"
            )
        if most is not None and count > most:
            return (
                f"the answer {quoted(answer)} has {count} tokens with its end, and <answer max={most}> takes "
                f"{most}; raise max, or shorten the answer"
            )
        if self._prompt_tokenizer.unknown_id in ids:
            return (
                f"the answer {quoted(answer)} has characters that are unknown to this model's vocabulary, so that it "
                "can never write them; change the answer, or take another model"
            )
        return ""
