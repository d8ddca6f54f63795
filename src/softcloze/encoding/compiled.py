"""CompiledTemplate: a template bound to a tokenizer, which encodes examples."""

from collections.abc import Iterator, Mapping, Sequence

from tokenizers import Encoding

from softcloze.data import Example
from softcloze.encoding.answers import AnswerEncoder, AnswerFormat
from softcloze.encoding.assembly import PromptAssembler, TruncatedPrompt
from softcloze.encoding.blocks import compile_blocks
from softcloze.encoding.encoded import Demonstration, EncodedPrompt, TokenInfo
from softcloze.encoding.rendering import Rendered, Renderer
from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.encoding.truncation import part_indices, truncate
from softcloze.encoding.word_ids import ids_after, word_ids
from softcloze.errors import EncodingError
from softcloze.formatting import has_chinese
from softcloze.template import (
    Answer,
    ChatOptions,
    Field,
    Literal,
    Mask,
    Part,
    Soft,
    Special,
    Template,
    Turn,
)


class CompiledTemplate:
    """A template bound to a tokenizer: compile once, encode many examples.

    Attributes:
        template: the template.
        prompt_tokenizer: the tokenizer.
        blocks: the soft blocks, in order of first appearance.
        soft_count: number of soft vectors in all blocks.
        max_length: maximal number of tokens and slots, answer included.
        has_right: whether the last mask or the answer can be followed by anything.
        answers: position and end of the answer; None for a template with masks.
    """

    def __init__(
        self,
        template: Template,
        prompt_tokenizer: PromptTokenizer,
        max_length: int,
        *,
        options: Sequence[str] = (),
        chat_options: ChatOptions | None = None,
    ) -> None:
        """Bind `template` to `prompt_tokenizer`.

        Args:
            template: the template.
            prompt_tokenizer: the tokenizer.
            max_length: maximal number of tokens and slots.
            options: the first label words of all labels, for <options>.
            chat_options: values of variables of the tokenizer's chat template: see `softcloze.encoding.chat`; unused
                without chat turns.

        Raises:
            EncodingError: the template has <options> but `options` is empty, the words of an init= have no tokens, or
                the tokenizer's chat template does not write these chat turns.
            TemplateSyntaxError: a model with this tokenizer cannot write the answer; shows the place.
            TokenizerError: the template has a special token that the tokenizer lacks, or chat turns, and the tokenizer
                has no chat template.
            ParameterError: the chat template has no such option, or writes a date that `chat_options` does not give.
        """
        self.template = template
        self.prompt_tokenizer = prompt_tokenizer
        self.max_length = max_length
        self.blocks = compile_blocks(template, prompt_tokenizer)
        self.soft_count = sum(block.count for block in self.blocks)
        self._renderer = Renderer(template, prompt_tokenizer, options, chat_options)
        self._static_parts = self._renderer.static_parts
        self.answers: AnswerFormat | None = self._renderer.answers
        fills = self.answers is not None and self.answers.fills
        self.has_right = fills or (self.answers is None and not isinstance(self._static_parts[-1].node, Mask))
        has_blank = self.answers is None or fills or not prompt_tokenizer.decoder
        self._assembler = PromptAssembler(template, prompt_tokenizer, self.blocks, has_blank=has_blank)
        limited = (Field, Answer) if template.demos is not None else (Field,)  # which show answers
        limits = [node.max for node in template.nodes if isinstance(node, limited) and node.max is not None]
        self._shortest_max = min(limits, default=max_length)

    @property
    def has_field_after_mask(self) -> bool:
        """True if a field stands after the first mask."""
        nodes = [part.node for part in self._static_parts]
        mask = next(i for i, node in enumerate(nodes) if isinstance(node, Mask))
        return any(isinstance(node, Field) for node in nodes[mask:])

    @property
    def autoregressive(self) -> bool:
        """True if a label word is scored token by token, left to right, with nothing after it."""
        return self.prompt_tokenizer.decoder or (self.prompt_tokenizer.mask_id is None and not self.has_right)

    @property
    def adds_specials(self) -> bool:
        """True if the tokenizer adds its special tokens at both ends; False where the template writes them."""
        return self._renderer.adds_specials

    @property
    def first_words(self) -> tuple[int, ...]:
        """Token ids of the first literal with any, white space around it stripped; empty if no literal has tokens."""
        texts = (part.text.strip() for part in self._static_parts if isinstance(part.node, Literal))
        return next((ids for ids in (tuple(self.prompt_tokenizer.ids(text)) for text in texts) if ids), ())

    @property
    def full_stop(self) -> tuple[int, ...]:
        """Token ids of a full stop, that of Chinese if a literal has Chinese characters."""
        literals = "".join(part.text for part in self._static_parts if isinstance(part.node, Literal))
        return tuple(self.prompt_tokenizer.ids("。" if has_chinese(literals) else "."))

    @property
    def blocks_after_announced_field(self) -> frozenset[str]:
        """Keys of the soft blocks that first stand after a field which the first literal stands in front of."""
        first: dict[str, bool] = {}
        announced = seen = False
        for part in self._static_parts:
            announced = announced or (not seen and isinstance(part.node, Literal) and bool(part.text.strip()))
            seen = seen or isinstance(part.node, Field)
            if part.block is not None:
                first.setdefault(part.block.key, announced and seen)
        return frozenset(key for key, ended in first.items() if ended)

    def encode(
        self,
        examples: Sequence[Example],
        *,
        answer_length: int | Sequence[int] | None = None,
        demonstrations: Sequence[Sequence[Demonstration]] | None = None,
        locate_fields: bool = False,
        answers: Sequence[str] | None = None,
    ) -> list[EncodedPrompt]:
        """Encode examples in order.

        Args:
            examples: strings for a template with one field, else mappings from field names to values.
            answer_length: positions reserved for the longest answer, in tokens: the longest label word, or with
                several masks the longest sum of their words; a number for all examples, or one for each. One for each
                mask by default. Ignored if masks are sentinels, which take one position whatever the word. With an
                <answer> the most new tokens, its `max` by default; ignored if a decoder writes them.
            demonstrations: the demonstrations of each example, for a template with <demos>.
            locate_fields: whether the prompts have their `field_positions`.
            answers: an answer for each example, for a template with <answer>. None is ever cut.

        Raises:
            FieldError: an example lacks a field or has a value of an unsupported type; names the row.
            EncodingError: the parts that must not be cut exceed `max_length`; says by how many tokens. Or an answer
                that the model could not write: see `AnswerEncoder`.
        """
        values = [self.template.read_fields(example, row) for row, example in enumerate(examples)]
        demos = self._write_demonstrations(demonstrations) if demonstrations is not None else [[]] * len(values)
        truncated = self._truncated(examples, values, demos, answer_length, answers)
        prompts = {row: self._assembler.assemble(prompt, locate_fields=locate_fields) for row, prompt in truncated}
        return [prompts[row] for row in range(len(values))]

    def render(self, values: Mapping[str, object], demonstrations: Sequence[Demonstration] = ()) -> Rendered:
        """Render one example as text with the markers of `prompt_tokenizer`, as it is before tokenization.

        Args:
            values: field values, as `Template.read_fields` returns them.
            demonstrations: for a template with <demos>.
        """
        (written,) = self._write_demonstrations([demonstrations])
        return self._renderer.render(values, written)

    def word_ids(self, word: str, mask: str | None = None) -> tuple[int, ...]:
        """Token ids of a label word at the named mask, or at the only one: see `softcloze.encoding.word_ids`."""
        return word_ids(word, self.prompt_tokenizer, self._static_parts, self._renderer.spaces, mask)

    def inspect(
        self, example: Example, *, answer_length: int | None = None, demonstrations: Sequence[Demonstration] = ()
    ) -> list[TokenInfo]:
        """List every token of `example` with its origin, including tokens that truncation cuts from fields.

        Demonstrations that exceed the budget are left out.
        """
        values = self.template.read_fields(example)
        demos = self._write_demonstrations([demonstrations])
        ((_, truncated),) = self._truncated([example], [values], demos, answer_length)
        rendered, ids = truncated.rendered, truncated.encoding.ids
        part_of_token = part_indices(truncated.encoding, rendered)
        demo_parts = {i for demo in rendered.demos for i in demo}
        kept = set(truncated.kept.indices)
        tokens: list[TokenInfo] = []
        for i in self._token_indices(truncated.encoding):
            part_index = part_of_token[i]
            token = self.prompt_tokenizer.token(ids[i])
            if part_index is None:
                tokens.append(TokenInfo(token, "special", "", True))
                continue
            part = rendered.parts[part_index]
            match part.node:
                case _ if part_index in demo_parts:
                    tokens.append(TokenInfo(token, "demo", "", i in kept))
                case Soft() if part.block is not None:
                    tokens += [TokenInfo("", "soft", part.block.key, True)] * len(self._assembler.slots[part.block.key])
                case Mask(_, name):
                    tokens.append(TokenInfo("<mask>", "mask", "" if name is None else name, True))
                case Answer():
                    tokens.append(TokenInfo("<answer>", "answer", "", True))
                case Field(name):
                    tokens.append(TokenInfo(token, "field", name, i in kept))
                case Special():
                    tokens.append(TokenInfo(token, "special", "", True))
                case Turn(role):
                    tokens.append(TokenInfo(token, "turn", role, True))
                case _:
                    tokens.append(TokenInfo(token, "literal", "", True))
        return tokens + self._written_tokens()

    def _written_tokens(self) -> list[TokenInfo]:
        """The tokens after those of the prompt: the answer, unless its position is in the prompt, and its end."""
        if self.answers is None or self.answers.fills:
            return []
        tokenizer, stop = self.prompt_tokenizer, self.answers.stop
        ids = self.answers.end_ids[:1] if stop is None else ids_after(Part(Literal("")), stop, tokenizer)
        answer = [] if self._assembler.has_blank else [TokenInfo("<answer>", "answer", "", True)]
        return [*answer, *(TokenInfo(tokenizer.token(i), "stop", "", True) for i in ids)]

    def _write_demonstrations(self, demonstrations: Sequence[Sequence[Demonstration]]) -> list[list[list[Part]]]:
        """Write the demonstrations of each row; those that rows share are written once."""
        written: dict[int, list[Part]] = {}
        lists: dict[int, list[list[Part]]] = {}
        for demos in demonstrations:
            if id(demos) not in lists:
                for demo in demos:
                    if id(demo) not in written:
                        written[id(demo)] = self._renderer.write_demonstration(demo)
                lists[id(demos)] = [written[id(demo)] for demo in demos]
        return [lists[id(demos)] for demos in demonstrations]

    def _truncated(
        self,
        examples: Sequence[Example],
        values: Sequence[Mapping[str, object]],
        demos: Sequence[list[list[Part]]],
        answer_length: int | Sequence[int] | None,
        answers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, TruncatedPrompt]]:
        """Tokenize and truncate each row; rows that lose demonstrations come last."""
        several = len(values) > 1
        written: list[tuple[int, ...]] = [()] * len(values)
        reserved = self._positions(answer_length, written)
        dropped = [0] * len(values)
        waiting = list(range(len(values)))
        while waiting:
            prompts = [
                self._renderer.render(
                    values[row], demos[row][dropped[row] :], row=row if several else None, example=examples[row]
                )
                for row in waiting
            ]
            encodings = self.prompt_tokenizer.encode(
                [rendered.text for rendered in prompts],
                add_special_tokens=self.adds_specials,
            )
            if answers is not None and len(waiting) == len(values):
                written = [*self._answer_ids(answers, prompts, encodings)]
                reserved = self._positions(answer_length, written)
            again = []
            for row, rendered, encoding in zip(waiting, prompts, encodings, strict=True):
                # positions of soft slots beyond the one marker token of each
                slots = sum(
                    len(self._assembler.slots[part.block.key]) - 1 for part in rendered.parts if part.block is not None
                )
                indices = self._token_indices(encoding)
                try:
                    kept = truncate(
                        encoding, rendered, indices, self.max_length, slots + reserved[row], self._shortest_max
                    )
                except EncodingError as error:
                    raise EncodingError(f"row {row}: {error}" if several else f"{error}") from None
                if kept.drop:
                    dropped[row] += kept.drop
                    again.append(row)
                else:
                    yield row, TruncatedPrompt(rendered, encoding, kept, dropped[row], written[row])
            waiting = again

    def _positions(
        self, answer_length: int | Sequence[int] | None, written: Sequence[tuple[int, ...]]
    ) -> Sequence[int]:
        """Positions of each answer beyond one for each mask; `written` are the ids of answers that are given."""
        answer = self.template.answer
        if self.prompt_tokenizer.sentinels or (answer is None and answer_length is None):
            return [0] * len(written)
        if answer is None:
            lengths = [answer_length] * len(written) if isinstance(answer_length, int) else answer_length or ()
            return [length - len(self.template.masks) for length in lengths]
        if self.prompt_tokenizer.decoder:
            return [0] * len(written)
        most = answer_length if answer_length is not None else answer.max or 1
        lengths = [most] * len(written) if isinstance(most, int) else most
        return [max(length, len(ids)) - 1 for length, ids in zip(lengths, written, strict=True)]

    def _answer_ids(
        self, answers: Sequence[str], prompts: Sequence[Rendered], encodings: Sequence[Encoding]
    ) -> Iterator[tuple[int, ...]]:
        """Token ids of the given answers after these prompts."""
        tag, answer_format = self.template.answer, self.answers
        if tag is None or answer_format is None:
            raise EncodingError(f"answers are for a template with <answer>, and {str(self.template)!r} has none")
        encoder = AnswerEncoder(tag, answer_format, self.prompt_tokenizer, self._static_parts)
        marker, marker_id = self.prompt_tokenizer.mask_marker, self.prompt_tokenizer.mask_marker_id
        texts = [rendered.text.partition(marker)[0] for rendered in prompts]
        ids = [_before(encoding.ids, marker_id) for encoding in encodings]
        return encoder.encode(answers, texts, ids, specials=self.adds_specials)

    def _token_indices(self, encoding: Encoding) -> Sequence[int]:
        """Indices of the tokens to use: a causal model drops the end of sequence that a tokenizer may add."""
        is_causal = self.prompt_tokenizer.mask_id is None
        return range(len(self.prompt_tokenizer.without_ending(encoding) if is_causal else encoding.ids))


def _before(ids: list[int], marker: int) -> list[int]:
    """The ids before a marker; all of them if there is none."""
    return ids[: ids.index(marker)] if marker in ids else ids
