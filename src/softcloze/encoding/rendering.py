"""Render an example as one text with markers for slots, masks and special tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise, takewhile
from typing import cast

from softcloze.encoding.answers import AnswerFormat, answer_format, fills_sentinel, validate_answer
from softcloze.encoding.chat import ChatFormat
from softcloze.encoding.encoded import Demonstration
from softcloze.encoding.parts import spaces_before_masks, static_parts, with_options, write_demonstration
from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.template import (
    Answer,
    ChatOptions,
    Demos,
    Field,
    Literal,
    Mask,
    Options,
    Part,
    Soft,
    Special,
    Template,
    Turn,
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as text with markers.

    Attributes:
        parts: its parts in order; the `text` of a slot, mask or special token is its marker.
        demos: indices of the parts of each demonstration.
    """

    parts: list[Part]
    demos: list[range]

    @property
    def text(self) -> str:
        """The whole prompt."""
        return "".join([part.text for part in self.parts])

    @property
    def ends(self) -> list[int]:
        """End of each part in the text."""
        return list(accumulate(len(part.text) for part in self.parts))

    @property
    def sep_position(self) -> int | None:
        """Position in the text of the first <sep>, which ends the first segment; None without one."""
        at = 0
        for part in self.parts:
            if part.node == Special("sep"):
                return at
            at += len(part.text)
        return None


class Renderer:
    """Renders prompts of one template with the markers of one tokenizer.

    Attributes:
        static_parts: the parts of the template without an example: fields are empty, and conditional parts are
            included.
        spaces: the white space before each mask or the answer, which belongs to the label word or the answer.
        answers: position and end of the answer; None for a template with masks.
        adds_specials: whether the tokenizer adds its special tokens at both ends; not with chat turns, nor where the
            template writes those of the front after soft slots.
    """

    def __init__(
        self,
        template: Template,
        prompt_tokenizer: PromptTokenizer,
        options: Sequence[str],
        chat_options: ChatOptions | None = None,
    ):
        """Prepare `template`; `options` are the label words for <options>, `chat_options` those of `ChatFormat`.

        Raises:
            EncodingError: the template has <options> but `options` is empty, or chat turns that the tokenizer's chat
                template does not write.
            TemplateSyntaxError: a model with this tokenizer cannot write the answer.
            TokenizerError: the template has a special token that the tokenizer lacks, or chat turns without a chat
                template.
            ParameterError: as `ChatFormat`.
        """
        self._template = template
        self._prompt_tokenizer = prompt_tokenizer
        self._options = tuple(options)
        if template.answer is not None:
            validate_answer(template, prompt_tokenizer)
        self._fills = template.answer is not None and fills_sentinel(template, prompt_tokenizer)
        parts = list(static_parts(template))
        self._has_options = any(isinstance(part.node, Options) and part.node.field is None for part in parts)
        if self._has_options and not options:
            raise EncodingError("<options> lists the label words, and none are given: name them in a verbalizer")
        self._space_after = {Special(kind) for kind in prompt_tokenizer.space_after} & set(template.nodes)
        self._chat = ChatFormat(prompt_tokenizer, chat_options) if template.turns else None
        moved = () if template.turns else _specials_after_slots(template, prompt_tokenizer)
        if prompt_tokenizer.space_after:  # a tokenizer that writes the start of a text as word-initial
            self._space_after |= {*moved}
        self._ends = [Part(Special("eos"), marker) for marker in prompt_tokenizer.suffix_markers] if moved else []
        self.adds_specials = not template.turns and not moved
        self.spaces = spaces_before_masks(parts)
        self._opening_space = ""  # at the end of the frame, where a mask opens the turn; it belongs to the label word
        self.static_parts = self._framed(self._with_markers(with_options(parts, self._options)))
        for before, part in pairwise(self.static_parts):
            is_open = isinstance(part.node, Mask | Answer) and isinstance(before.node, Turn)
            if isinstance(part.node, Mask | Answer) and is_open and prompt_tokenizer.mask_id is None:
                self._opening_space = before.text[len(before.text.rstrip(" ")) :]
                self.spaces[part.node] = self._opening_space or " " * self._ends_in_special(before)
        self.static_parts = self._framed(self.static_parts)
        self.answers: AnswerFormat | None = None
        if template.answer is not None:
            self.answers = answer_format(template, prompt_tokenizer, self._chat, self.spaces[template.answer])
        self._fields = [(i, part.node) for i, part in enumerate(self.static_parts) if isinstance(part.node, Field)]
        self._lists = [
            (i, part.node, part.node.field)
            for i, part in enumerate(self.static_parts)
            if isinstance(part.node, Options) and part.node.field is not None
        ]

    def render(
        self,
        values: Mapping[str, object],
        demonstrations: Sequence[Sequence[Part]] = (),
        *,
        row: int | None = None,
        example: str | Mapping[str, object] | None = None,
    ) -> Rendered:
        """Render the prompt of an example; arguments and errors as for `Template.expand`.

        The demonstrations are those that `write_demonstration` returns.
        """
        if self._template.has_logic:
            parts = self._template.expand(values, row, example)
            parts = self._with_markers(with_options(parts, self._options) if self._has_options else parts)
        else:
            parts = list(self.static_parts)
            for i, field in self._fields:
                parts[i] = Part(field, str(values[field.name]))
            for i, options, name in self._lists:
                parts[i] = Part(options, options.sep.join(cast(list[str], values[name])))
        demos: list[range] = []
        if self._template.demos is not None:
            parts, demos = _with_demonstrations(parts, demonstrations)
        parts = self._framed(parts)
        if self._space_after or self._chat is not None:
            self._add_spaces(parts)
        return Rendered(parts, demos)

    def _framed(self, parts: list[Part]) -> list[Part]:
        """Write the frame of each chat turn, which is all text between its content and that of the one before."""
        if self._chat is None:
            return parts
        *others, last = self._chat.frame([part.node.role for part in parts if isinstance(part.node, Turn)])
        frame = iter([*others, last.removesuffix(self._opening_space)])
        return [replace(part, text=next(frame)) if isinstance(part.node, Turn) else part for part in parts]

    def _add_spaces(self, parts: list[Part]) -> None:
        """Put a space between special tokens of some kinds and text, which is then tokenized as word-initial."""
        last = 0
        for i, part in enumerate(parts):
            if not part.text:
                continue
            if (
                isinstance(part.node, Literal | Field | Options)
                and part.text[0] not in " ▁"
                and self._ends_in_special(parts[last])
            ):
                parts[last] = replace(parts[last], text=parts[last].text + " ")
            last = i

    def _ends_in_special(self, part: Part) -> bool:
        """Return True if the part is, or ends in, a special token that needs a space before text."""
        if isinstance(part.node, Turn):
            return self._prompt_tokenizer.ends_in_special(part.text)
        return part.node in self._space_after

    def write_demonstration(self, demonstration: Demonstration) -> list[Part]:
        """Write a demonstration with markers: see `write_demonstration`."""
        return [
            replace(part, text=self._prompt_tokenizer.special(part.node.kind))
            if isinstance(part.node, Special)
            else part
            for part in write_demonstration(self._template, demonstration, self._options)
        ]

    def _with_markers(self, parts: Sequence[Part]) -> list[Part]:
        """Insert markers; drop white space that belongs to slots or masks, and tokens that the tokenizer adds."""
        prompt_tokenizer = self._prompt_tokenizer
        # a mask token absorbs the space before it; without one, the space belongs to the label word
        writes = self._template.answer is not None and not self._fills  # a stop string belongs to the answer
        strips_before_mask = prompt_tokenizer.mask_id is None or writes
        if writes:
            at = next(i for i, part in enumerate(parts) if isinstance(part.node, Answer))
            parts = parts[: at + 1]
        marked: list[Part] = []
        for i, part in enumerate(parts):
            text = part.text
            match part.node:
                case Literal():
                    following = parts[i + 1].node if i + 1 < len(parts) else None
                    if isinstance(following, Soft):
                        text = text.rstrip()
                    elif isinstance(following, Mask | Answer) and strips_before_mask:
                        text = text.removesuffix(self.spaces[following])
                    if not text:
                        continue
                case Soft():
                    text = prompt_tokenizer.slot_marker
                case Answer() if writes and prompt_tokenizer.decoder:
                    continue
                case Mask() | Answer():
                    text = prompt_tokenizer.mask_marker
                case Special(kind):
                    text = prompt_tokenizer.special(kind)
            marked.append(part if text is part.text else Part(part.node, text, part.block))
        if self._chat is not None:  # the chat template writes them
            return marked
        prefix = prompt_tokenizer.prefix_markers if self.adds_specials else ()
        return _without_added_specials(marked, prefix, prompt_tokenizer.suffix_markers) + self._ends


def _specials_after_slots(template: Template, prompt_tokenizer: PromptTokenizer) -> tuple[Special, ...]:
    """The special tokens of the tokenizer's front where the template writes them after soft slots at its start.

    They take the place of those that the tokenizer would add before the slots; empty otherwise.
    """
    prefix = prompt_tokenizer.prefix_markers
    slots = sum(1 for _ in takewhile(lambda node: isinstance(node, Soft), template.nodes))
    written = tuple(node for node in template.nodes[slots : slots + len(prefix)] if isinstance(node, Special))
    if not slots or tuple(prompt_tokenizer.special(node.kind) for node in written) != prefix:
        return ()
    return written


def _without_added_specials(parts: list[Part], prefix: Sequence[str], suffix: Sequence[str]) -> list[Part]:
    """Drop special tokens at either end that the tokenizer adds there itself."""
    start, stop = 0, len(parts)
    if not parts or (not isinstance(parts[0].node, Special) and not isinstance(parts[-1].node, Special)):
        return parts
    for size in range(1, min(len(prefix), len(parts)) + 1):
        if [part.text for part in parts[:size]] == list(prefix[-size:]):
            start = size
    for size in range(1, min(len(suffix), len(parts) - start) + 1):
        if [part.text for part in parts[-size:]] == list(suffix[:size]):
            stop = len(parts) - size
    return parts[start:stop]


def _with_demonstrations(
    parts: Sequence[Part], demonstrations: Sequence[Sequence[Part]]
) -> tuple[list[Part], list[range]]:
    """Insert the demonstrations at <demos>; also return the indices of the parts of each."""
    whole: list[Part] = []
    demos: list[range] = []
    for part in parts:
        if isinstance(part.node, Demos):
            for demonstration in demonstrations:
                demos.append(range(len(whole), len(whole) + len(demonstration)))
                whole += demonstration
        else:
            whole.append(part)
    return whole, demos
