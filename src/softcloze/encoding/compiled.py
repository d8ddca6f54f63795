"""A template bound to a tokenizer: examples in, encoded prompts out."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tokenizers import Encoding

from softcloze.encoding.prompt import EncodedPrompt, Piece
from softcloze.encoding.truncation import shares, whole_characters
from softcloze.encoding.vocabulary import Vocabulary
from softcloze.errors import SoftclozeError
from softcloze.template import Field, Literal, Mask, Node, Soft, Template, read_fields

Example = str | Mapping[str, object]


class EncodingError(SoftclozeError, ValueError):
    """An example or a label word that cannot be encoded."""


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


class CompiledTemplate:
    """A template bound to a vocabulary; compile once, encode many.

    Attributes:
        template: the template as given.
        blocks: its soft blocks, in order of first appearance.
        soft_count: soft vectors of all blocks together.
        max_length: tokens and slots that fit, the answer included.
        has_right: whether anything stands after the mask.
    """

    def __init__(self, template: Template, vocabulary: Vocabulary, max_length: int):
        """Bind `template` to `vocabulary`.

        Args:
            template: what to encode with.
            vocabulary: the tokenizer.
            max_length: tokens and slots that the model takes, the answer included.
        """
        self.template = template
        self.vocabulary = vocabulary
        self.max_length = max_length
        self.blocks = _compile_blocks(template, vocabulary)
        self.soft_count = sum(block.count for block in self.blocks)
        by_key = {block.key: block for block in self.blocks}
        self._slots = [
            (block.key, tuple(-1 - row for row in by_key[block.key].rows))
            for block in (template.block_of(i) for i, node in enumerate(template.nodes) if isinstance(node, Soft))
        ]
        self._nodes, self._space = _give_space_to_slots(template.nodes, masked=vocabulary.mask_id is not None)
        self._hole = next(i for i, node in enumerate(self._nodes) if isinstance(node, Mask))
        self.has_right = self._hole < len(self._nodes) - 1

    @property
    def literal_ids(self) -> list[tuple[int, ...]]:
        """Token ids of each literal, without the white space around it; literals without words are left out."""
        texts = (node.text.strip() for node in self._nodes if isinstance(node, Literal))
        return [ids for ids in (tuple(self.vocabulary.ids(text)) for text in texts) if ids]

    def encode(self, examples: Sequence[Example], *, answer_length: int = 1) -> list[EncodedPrompt]:
        """Encode examples in order.

        Args:
            examples: a str for a template with one field, else mappings from field names to values.
            answer_length: tokens of the longest label word, for which room is kept.

        Raises:
            FieldError: an example lacks a field or holds something that is no text; names the row.
            EncodingError: the template's own tokens do not fit into `max_length`; says by how many.
        """
        values = [read_fields(self.template, example, row) for row, example in enumerate(examples)]
        rendered = [self._render(value) for value in values]
        encodings = self.vocabulary.encode([text for text, _ in rendered])
        return [
            self._encoded(encoding, text, ends, answer_length)
            for encoding, (text, ends) in zip(encodings, rendered, strict=True)
        ]

    def word_ids(self, word: str) -> tuple[int, ...]:
        """Token ids of a label word in the mask's place, as the tokenizer would write it there.

        White space between the last literal and the mask belongs to the word (" good"). The word is
        tokenized behind the literal before the mask, or behind a full stop where there is none, if those
        keep their own tokens, so that no prefix marker is added that the running text would not have.

        Raises:
            EncodingError: the word has no tokens, or some of it is unknown to the vocabulary.
        """
        ids = self._word_ids(word)
        if not ids:
            raise EncodingError(f"label word {word!r} has no tokens in this model's vocabulary")
        if self.vocabulary.unknown_id in ids:
            tokens = " ".join(self.vocabulary.token(i) for i in ids)
            raise EncodingError(
                f"label word {word!r} is unknown to this model's vocabulary: it becomes {tokens}; choose another word"
            )
        return tuple(ids)

    def inspect(self, example: Example, *, answer_length: int = 1) -> list[Piece]:
        """Every token of `example` with its origin, those that truncation cuts included."""
        text, ends = self._render(read_fields(self.template, example))
        (encoding,) = self.vocabulary.encode([text])
        used = self._used(encoding)
        owners = self._owners(encoding, text, ends)
        kept = self._kept(encoding, owners, used, answer_length)
        slots = iter(self._slots)
        ids = encoding.ids
        pieces: list[Piece] = []
        for i in used:
            match owners[i]:
                case Soft():
                    key, rows = next(slots)
                    pieces += [Piece("", "soft", key, True)] * len(rows)
                case Mask():
                    pieces.append(Piece("<mask>", "mask", "", True))
                case Field(name):
                    pieces.append(Piece(self.vocabulary.token(ids[i]), "field", name, kept[i]))
                case Literal():
                    pieces.append(Piece(self.vocabulary.token(ids[i]), "literal", "", True))
                case None:
                    pieces.append(Piece(self.vocabulary.token(ids[i]), "special", "", True))
        return pieces

    def _render(self, values: Mapping[str, str]) -> tuple[str, list[int]]:
        """The prompt as text with markers, and where each node ends in it."""
        parts = []
        for node in self._nodes:
            match node:
                case Literal(text):
                    parts.append(text)
                case Field(name):
                    parts.append(values[name])
                case Soft():
                    parts.append(self.vocabulary.slot)
                case Mask():
                    parts.append(self.vocabulary.hole)
        return "".join(parts), list(accumulate(map(len, parts)))

    def _used(self, encoding: Encoding) -> list[int]:
        """The tokens that count: for a causal model not the end of sequence that a tokenizer may add."""
        used = list(range(len(encoding.ids)))
        if self.vocabulary.mask_id is None:
            origins = encoding.sequence_ids
            while used and origins[used[-1]] is None:
                used.pop()
        return used

    def _encoded(self, encoding: Encoding, text: str, ends: list[int], answer_length: int) -> EncodedPrompt:
        used = self._used(encoding)
        cut: dict[str, int] = {}
        if self._excess(used, answer_length) > 0:
            owners = self._owners(encoding, text, ends)
            kept = self._kept(encoding, owners, used, answer_length)
            for i in used:
                owner = owners[i]
                if not kept[i] and isinstance(owner, Field):
                    cut[owner.name] = cut.get(owner.name, 0) + 1
            used = [i for i in used if kept[i]]
        ids = encoding.ids
        slots = iter(self._slots)
        left: list[int] = []
        right: list[int] = []
        side = left
        for i in used:
            if ids[i] == self.vocabulary.slot_id:
                side.extend(next(slots)[1])
            elif ids[i] == self.vocabulary.hole_id:
                side = right
            else:
                side.append(ids[i])
        return EncodedPrompt(tuple(left), tuple(right), cut)

    def _excess(self, used: Sequence[int], answer_length: int) -> int:
        """Positions beyond `max_length` that these tokens take, in which each slot and the hole are one token."""
        slots = sum(len(rows) - 1 for _, rows in self._slots)
        return len(used) + slots - 1 + answer_length - self.max_length

    def _kept(
        self, encoding: Encoding, owners: Sequence[Node | None], used: Sequence[int], answer_length: int
    ) -> list[bool]:
        """Which tokens survive truncation."""
        kept = [True] * len(encoding.ids)
        excess = self._excess(used, answer_length)
        if excess <= 0:
            return kept
        # a template may name a field twice: by identity, each place gives up tokens of its own
        fields: dict[int, list[int]] = {}
        for i in used:
            owner = owners[i]
            if isinstance(owner, Field):
                fields.setdefault(id(owner), []).append(i)
        lengths = [len(tokens) for tokens in fields.values()]
        budget = sum(lengths) - excess
        if budget < 0:
            raise EncodingError(
                f"the template alone is {-budget} tokens too long: its literals, soft slots, special tokens and "
                f"answer take {self.max_length - budget} where {self.max_length} fit; shorten it or raise max_length"
            )
        spans = encoding.offsets  # a new list at each access
        for tokens, share in zip(fields.values(), shares(lengths, budget), strict=True):
            for i in tokens[whole_characters([spans[i] for i in tokens], share) :]:
                kept[i] = False
        return kept

    def _owners(self, encoding: Encoding, text: str, ends: list[int]) -> list[Node | None]:
        """The node that each token comes from; None for special tokens that the tokenizer added.

        White space at a token's start does not count, since many tokenizers put the space before a word
        into its token. A token with characters of several nodes belongs to the first that is no field.
        """
        owners: list[Node | None] = []
        for (start, end), origin in zip(encoding.offsets, encoding.sequence_ids, strict=True):
            if origin is None:
                owners.append(None)
                continue
            if start == end:  # white space that the tokenizer trims from its tokens' spans
                start = max(start - 1, 0)
            while start < end - 1 and text[start].isspace():
                start += 1
            first = bisect_right(ends, start)
            last = bisect_left(ends, max(end, start + 1))
            touched = self._nodes[first : last + 1]
            owners.append(next((node for node in touched if not isinstance(node, Field)), touched[0]))
        return owners

    def _word_ids(self, word: str) -> list[int]:
        text = self._space + word
        before = self._nodes[self._hole - 1] if self._hole > 0 else None
        if before is None:
            return self.vocabulary.ids(text)
        anchors = [before.text.rstrip()] if isinstance(before, Literal) else []
        for anchor in (*anchors, ".", "。"):
            anchor_ids, ids = self.vocabulary.ids(anchor), self.vocabulary.ids(anchor + text)
            if anchor_ids and ids[: len(anchor_ids)] == anchor_ids:
                return ids[len(anchor_ids) :]
        return self.vocabulary.ids(self.vocabulary.slot + text)[1:]


def _compile_blocks(template: Template, vocabulary: Vocabulary) -> tuple[CompiledBlock, ...]:
    blocks = []
    start = 0
    for block in template.blocks:
        init = tuple(vocabulary.ids(block.init)) if block.init is not None else ()
        if block.init is not None and not init:
            raise EncodingError(f"init={block.init!r} of soft block {block.key!r} has no tokens in this vocabulary")
        count = block.count if block.count is not None else len(init)
        blocks.append(CompiledBlock(block.key, start, count, init))
        start += count
    return tuple(blocks)


def _give_space_to_slots(nodes: Sequence[Node], *, masked: bool) -> tuple[list[Node], str]:
    """The nodes with the white space before slots taken out, and what stood before the mask.

    A soft slot drops it and a causal model's mask hands it to the label word. A masked model's mask token
    absorbs it or not as its tokenizer would, so there it stays and is only reported.
    """
    trimmed: list[Node] = []
    space = ""
    for i, node in enumerate(nodes):
        following = nodes[i + 1] if i + 1 < len(nodes) else None
        if isinstance(node, Literal) and isinstance(following, Soft | Mask):
            bare = node.text.rstrip()
            if isinstance(following, Mask):
                space = node.text[len(bare) :]
            if not (masked and isinstance(following, Mask)):
                node = Literal(bare)
        if node != Literal(""):
            trimmed.append(node)
    return trimmed, space
