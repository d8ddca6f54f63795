"""Assemble encoded prompts: the tokens that truncation keeps, soft slots, and the positions of masks and fields."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from softcloze.encoding.blocks import CompiledBlock
from softcloze.encoding.encoded import EncodedPrompt
from softcloze.encoding.rendering import Rendered
from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.encoding.truncation import KeptTokens, part_indices
from softcloze.template import Field, Part, Special, Template


@dataclass(frozen=True, slots=True)
class TruncatedPrompt:
    """A tokenized prompt after truncation.

    Attributes:
        rendered: its text.
        encoding: its tokens before truncation.
        kept: those that are kept.
        dropped: number of demonstrations left out.
        answer: ids of the given answer.
    """

    rendered: Rendered
    encoding: Encoding
    kept: KeptTokens
    dropped: int
    answer: tuple[int, ...] = ()


class PromptAssembler:
    """Assembles the encoded prompts of one template.

    Attributes:
        slots: block key -> ids of its slots, -1 - r for vector r.
        has_blank: whether the text has a marker for each mask, or for the answer.
    """

    def __init__(
        self, template: Template, prompt_tokenizer: PromptTokenizer, blocks: Sequence[CompiledBlock], *, has_blank: bool
    ) -> None:
        """Prepare for prompts of `template`, whose compiled soft blocks are `blocks`."""
        self._template = template
        self._prompt_tokenizer = prompt_tokenizer
        self.slots = {block.key: tuple(-1 - row for row in block.rows) for block in blocks}
        self.has_blank = has_blank
        self._averaged = tuple(
            dict.fromkeys(block.from_ for block in blocks if block.from_ is not None and not block.late)
        )
        self._late = next((block.from_ for block in blocks if block.late), None)
        self._has_token_types = prompt_tokenizer.has_token_types and Special("sep") in template.nodes

    def assemble(self, truncated: TruncatedPrompt, *, locate_fields: bool) -> EncodedPrompt:
        """Assemble the token ids, with those of soft slots; `locate_fields` as for `CompiledTemplate.encode`."""
        kept = truncated.kept
        all_ids = truncated.encoding.ids
        ids = [all_ids[i] for i in kept.indices]
        blocks = (part.block for part in truncated.rendered.parts)
        slots = (self.slots[block.key] for block in blocks if block is not None)
        # the separator token, if any, ends the first segment
        at = truncated.rendered.sep_position if self._has_token_types else None
        sep = truncated.encoding.char_to_token(at) if at is not None else None
        first = bisect_right(kept.indices, sep) if sep is not None else len(ids)  # tokens of the first segment
        one, two = self._with_slots(ids[:first], slots), self._with_slots(ids[first:], slots)
        token_type_ids = (0,) * len(one) + (1,) * len(two) if sep is not None else None
        filled = one + two
        left, *between, right = self._chunks(filled) if self.has_blank else (tuple(filled), ())
        return EncodedPrompt(
            left,
            right,
            kept.cut,
            token_type_ids,
            truncated.dropped,
            tuple(between),
            emptied=kept.emptied,
            field_positions=self._field_positions(truncated) if locate_fields else (),
            field_ids=self._field_ids(truncated) if self._averaged else {},
            late_positions=self._field_positions(truncated, self._late) if self._late is not None else (),
            answer=truncated.answer,
        )

    def _kept_parts(self, truncated: TruncatedPrompt) -> Iterator[tuple[int, Part | None, Field | None]]:
        """Index of each kept token, its part of the prompt, and its field, if it is of one outside demonstrations."""
        rendered = truncated.rendered
        part_of_token = part_indices(truncated.encoding, rendered)
        in_demos = {i for demo in rendered.demos for i in demo}
        for i in truncated.kept.indices:
            index = part_of_token[i]
            part = rendered.parts[index] if index is not None else None
            node = part.node if part is not None and index not in in_demos else None
            yield i, part, node if isinstance(node, Field) else None

    def _field_ids(self, truncated: TruncatedPrompt) -> dict[str, tuple[int, ...]]:
        """Token ids that are kept of each field that soft slots depend on, outside demonstrations."""
        kept: dict[str, list[int]] = {name: [] for name in self._averaged}
        for i, _, field in self._kept_parts(truncated):
            if field is not None and field.name in kept:
                kept[field.name].append(truncated.encoding.ids[i])
        return {name: tuple(of_field) for name, of_field in kept.items()}

    def _field_positions(self, truncated: TruncatedPrompt, name: str | None = None) -> tuple[int, ...]:
        """Positions of the tokens of fields outside demonstrations, with every vector of a soft slot counted.

        They are those of all fields, or of the one with a name.
        """
        positions, position = [], 0
        for _, part, field in self._kept_parts(truncated):
            if field is not None and name in (None, field.name):
                positions.append(position)
            position += len(self.slots[part.block.key]) if part is not None and part.block is not None else 1
        return tuple(positions)

    def _chunks(self, ids: list[int]) -> Iterator[tuple[int, ...]]:
        """Ids before, between and after the masks, or before and after the answer."""
        start = 0
        for _ in self._template.masks or (self._template.answer,):
            mask = ids.index(self._prompt_tokenizer.mask_marker_id, start)
            yield tuple(ids[start:mask])
            start = mask + 1
        yield tuple(ids[start:])

    def _with_slots(self, ids: list[int], slots: Iterator[tuple[int, ...]]) -> list[int]:
        """Replace each slot marker by the ids of the next soft block."""
        filled: list[int] = []
        start = 0
        for _ in range(ids.count(self._prompt_tokenizer.slot_marker_id)):
            at = ids.index(self._prompt_tokenizer.slot_marker_id, start)
            filled += ids[start:at]
            filled += next(slots)
            start = at + 1
        return filled + ids[start:]
