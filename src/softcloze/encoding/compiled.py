"""A template bound to a tokenizer: examples in, encoded prompts out."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from softcloze.data import Example
from softcloze.encoding.encoded import Demonstration, EncodedPrompt, TokenInfo
from softcloze.encoding.rendering import Rendered, Renderer
from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.encoding.truncation import Fit, TokenBudget, fit, part_indices
from softcloze.encoding.word_ids import word_ids
from softcloze.errors import EncodingError
from softcloze.template import Field, Literal, Mask, Part, Soft, Special, Template


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A prompt in tokens, as far as it fits."""

    rendered: Rendered
    encoding: Encoding
    fit: Fit
    dropped: int


class CompiledTemplate:
    """A template bound to a vocabulary; compile once, encode many.

    Attributes:
        template: the template as given.
        blocks: its soft blocks, in order of first appearance.
        soft_count: soft vectors of all blocks together.
        max_length: tokens and slots that fit, the answer included.
        has_right: whether anything may stand after the mask, or after the last of several.
    """

    def __init__(
        self, template: Template, prompt_tokenizer: PromptTokenizer, max_length: int, *, options: Sequence[str] = ()
    ) -> None:
        """Bind `template` to `vocabulary`.

        Args:
            template: what to encode with.
            prompt_tokenizer: the tokenizer.
            max_length: tokens and slots that the model takes, the answer included.
            options: the first label word of each label, for <options>.

        Raises:
            EncodingError: the template has <options>, and there are none; or words of init= have no tokens.
            TokenizerError: the template has a special token that the tokenizer lacks.
        """
        self.template = template
        self.prompt_tokenizer = prompt_tokenizer
        self.max_length = max_length
        self.blocks = compile_blocks(template, prompt_tokenizer)
        self.soft_count = sum(block.count for block in self.blocks)
        self._slots = {block.key: tuple(-1 - row for row in block.rows) for block in self.blocks}
        self._renderer = Renderer(template, prompt_tokenizer, options)
        self._outline = self._renderer.outline
        self.has_right = not isinstance(self._outline[-1].node, Mask)
        self._has_token_types = prompt_tokenizer.has_token_types and Special("sep") in template.nodes
        limits = [node.max for node in template.nodes if isinstance(node, Field) and node.max is not None]
        self._shortest_max = min(limits, default=max_length)

    @property
    def autoregressive(self) -> bool:
        """Whether a label word's score is that of its tokens one after the other, with nothing behind them."""
        return self.prompt_tokenizer.decoder or (self.prompt_tokenizer.mask_id is None and not self.has_right)

    @property
    def first_words(self) -> tuple[int, ...]:
        """Token ids of the first literal that has any, without the white space around it; empty if none has."""
        texts = (part.text.strip() for part in self._outline if isinstance(part.node, Literal))
        return next((ids for ids in (tuple(self.prompt_tokenizer.ids(text)) for text in texts) if ids), ())

    def encode(
        self,
        examples: Sequence[Example],
        *,
        answer_length: int | None = None,
        demonstrations: Sequence[Sequence[Demonstration]] | None = None,
    ) -> list[EncodedPrompt]:
        """Encode examples in order.

        Args:
            examples: a str for a template with one field, else mappings from field names to values.
            answer_length: tokens of the longest label word, for which room is kept; with several masks, of the words
                in all of them together. One for each mask by default. Where sentinels stand in their places, which
                take one position whatever the words, it changes nothing.
            demonstrations: what to show with each example, for a template with <demos>.

        Raises:
            FieldError: an example lacks a field or holds something that is no text; names the row.
            EncodingError: what must not be cut does not fit into `max_length`; says by how many tokens.
        """
        values = [self.template.read_fields(example, row) for row, example in enumerate(examples)]
        shown = self._demonstrate(demonstrations) if demonstrations is not None else [[]] * len(values)
        fitted = self._fitted(examples, values, shown, answer_length)
        prompts = {row: self._encoded(prompt) for row, prompt in fitted}
        return [prompts[row] for row in range(len(values))]

    def word_ids(self, word: str, mask: str | None = None) -> tuple[int, ...]:
        """Token ids of a label word in the place of the mask of that name: see `softcloze.encoding.word_ids`.

        Args:
            word: the label word.
            mask: the name; not needed where there is only one mask.

        Raises:
            EncodingError: the word has no tokens, some of it is unknown to the vocabulary, or it has other than the
                number of tokens that the mask asks for.
        """
        return word_ids(word, self.prompt_tokenizer, self._outline, self._renderer.spaces, mask)

    def inspect(
        self, example: Example, *, answer_length: int | None = None, demonstrations: Sequence[Demonstration] = ()
    ) -> list[TokenInfo]:
        """Every token of `example` with its origin, those that truncation cuts from fields included.

        Demonstrations that do not fit are left out.
        """
        values = self.template.read_fields(example)
        ((_, fitted),) = self._fitted([example], [values], self._demonstrate([demonstrations]), answer_length)
        rendered, ids = fitted.rendered, fitted.encoding.ids
        owners = part_indices(fitted.encoding, rendered)
        shown = {i for demo in rendered.demos for i in demo}
        kept = set(fitted.fit.used)
        pieces: list[TokenInfo] = []
        for i in self._counting(fitted.encoding):
            owner = owners[i]
            token = self.prompt_tokenizer.token(ids[i])
            if owner is None:
                pieces.append(TokenInfo(token, "special", "", True))
                continue
            part = rendered.parts[owner]
            match part.node:
                case _ if owner in shown:
                    pieces.append(TokenInfo(token, "demo", "", i in kept))
                case Soft() if part.block is not None:
                    pieces += [TokenInfo("", "soft", part.block.key, True)] * len(self._slots[part.block.key])
                case Mask(_, name):
                    pieces.append(TokenInfo("<mask>", "mask", "" if name is None else name, True))
                case Field(name):
                    pieces.append(TokenInfo(token, "field", name, i in kept))
                case Special():
                    pieces.append(TokenInfo(token, "special", "", True))
                case _:
                    pieces.append(TokenInfo(token, "literal", "", True))
        return pieces

    def _demonstrate(self, demonstrations: Sequence[Sequence[Demonstration]]) -> list[list[list[Part]]]:
        """Write each list of demonstrations; one that several rows share is written once, and so is a demonstration."""
        written: dict[int, list[Part]] = {}
        lists: dict[int, list[list[Part]]] = {}
        for shown in demonstrations:
            if id(shown) not in lists:
                for one in shown:
                    if id(one) not in written:
                        written[id(one)] = self._renderer.demonstrate(one)
                lists[id(shown)] = [written[id(one)] for one in shown]
        return [lists[id(shown)] for shown in demonstrations]

    def _fitted(
        self,
        examples: Sequence[Example],
        values: Sequence[Mapping[str, object]],
        shown: Sequence[list[list[Part]]],
        answer_length: int | None,
    ) -> Iterator[tuple[int, _Fitted]]:
        """Rows with their tokens as far as they fit, those that lose demonstrations last."""
        several = len(values) > 1
        answer = 0  # beyond one for each mask
        if answer_length is not None and not self.prompt_tokenizer.sentinels:
            answer = answer_length - len(self.template.masks)
        dropped = [0] * len(values)
        waiting = list(range(len(values)))
        while waiting:
            prompts = [
                self._renderer.render(
                    values[row], shown[row][dropped[row] :], row=row if several else None, example=examples[row]
                )
                for row in waiting
            ]
            encodings = self.prompt_tokenizer.encode([rendered.text for rendered in prompts])
            again = []
            for row, rendered, encoding in zip(waiting, prompts, encodings, strict=True):
                room = TokenBudget(self.max_length, self._slot_positions(rendered) + answer)
                try:
                    found = fit(encoding, rendered, self._counting(encoding), room, self._shortest_max)
                except EncodingError as error:
                    raise EncodingError(f"row {row}: {error}" if several else f"{error}") from None
                if found.drop:
                    dropped[row] += found.drop
                    again.append(row)
                else:
                    yield row, _Fitted(rendered, encoding, found, dropped[row])
            waiting = again

    def _slot_positions(self, rendered: Rendered) -> int:
        """Positions that soft slots take beyond the one token that stands for each."""
        blocks = (part.block for part in rendered.parts)
        return sum(len(self._slots[block.key]) - 1 for block in blocks if block is not None)

    def _counting(self, encoding: Encoding) -> Sequence[int]:
        """The tokens that count: for a causal model not the end of sequence that a tokenizer may add."""
        count = len(encoding.ids)
        if self.prompt_tokenizer.mask_id is None:
            origins = encoding.sequence_ids
            while count and origins[count - 1] is None:
                count -= 1
        return range(count)

    def _encoded(self, fitted: _Fitted) -> EncodedPrompt:
        whole, used = fitted.encoding.ids, fitted.fit.used
        ids = [whole[i] for i in used]
        blocks = (part.block for part in fitted.rendered.parts)
        slots = (self._slots[block.key] for block in blocks if block is not None)
        sep = self._sep_of(fitted) if self._has_token_types else None
        first = bisect_right(used, sep) if sep is not None else len(ids)  # tokens of the first segment
        one, two = self._with_slots(ids[:first], slots), self._with_slots(ids[first:], slots)
        token_type_ids = (0,) * len(one) + (1,) * len(two) if sep is not None else None
        filled = one + two
        left, *between, right = self._pieces(filled)
        return EncodedPrompt(left, right, fitted.fit.cut, token_type_ids, fitted.dropped, tuple(between))

    def _pieces(self, ids: list[int]) -> Iterator[tuple[int, ...]]:
        """What stands before, between and after the masks."""
        start = 0
        for _ in self.template.masks:
            hole = ids.index(self.prompt_tokenizer.mask_marker_id, start)
            yield tuple(ids[start:hole])
            start = hole + 1
        yield tuple(ids[start:])

    def _sep_of(self, fitted: _Fitted) -> int | None:
        """The number of the token behind which the second segment begins."""
        at = fitted.rendered.second_segment
        return fitted.encoding.char_to_token(at) if at is not None else None

    def _with_slots(self, ids: list[int], slots: Iterator[tuple[int, ...]]) -> list[int]:
        """Ids with the rows of the next soft blocks where a token stands for each."""
        filled: list[int] = []
        start = 0
        for _ in range(ids.count(self.prompt_tokenizer.slot_marker_id)):
            at = ids.index(self.prompt_tokenizer.slot_marker_id, start)
            filled += ids[start:at]
            filled += next(slots)
            start = at + 1
        return filled + ids[start:]


@dataclass(frozen=True, slots=True)
class CompiledBlock:
    """A soft block with its place among the soft vectors.

    Attributes:
        key: the block's name, or "#1", "#2", … where the template gives none.
        start: its first row.
        count: its number of rows.
        init: token ids of the words its vectors start from; empty where the template names none.
    """

    key: str
    start: int
    count: int
    init: tuple[int, ...]

    @property
    def rows(self) -> range:
        """Its rows among the soft vectors."""
        return range(self.start, self.start + self.count)


def compile_blocks(template: Template, prompt_tokenizer: PromptTokenizer) -> tuple[CompiledBlock, ...]:
    """Count the vectors of each soft block of `template` and put the blocks one below the other.

    Raises:
        EncodingError: the words that a block starts from have no tokens.
    """
    blocks = []
    start = 0
    for block in template.blocks:
        init = tuple(prompt_tokenizer.ids(block.init)) if block.init is not None else ()
        if block.init is not None and not init:
            raise EncodingError(f"init={block.init!r} of soft block {block.key!r} has no tokens in this vocabulary")
        count = block.count if block.count is not None else len(init)
        blocks.append(CompiledBlock(block.key, start, count, init))
        start += count
    return tuple(blocks)
