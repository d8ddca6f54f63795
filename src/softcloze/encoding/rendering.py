"""From examples to text with markers, which is then tokenized in one run."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from softcloze.encoding.encoded import Answer, Demonstration
from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.template import (
    Demos,
    Expression,
    Field,
    Literal,
    Mask,
    Options,
    Part,
    Soft,
    Special,
    Statement,
    Template,
)
from softcloze.template.nodes import literal_text
from softcloze.template.parts import merge_literals


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as text with markers.

    Attributes:
        parts: what it is made of, in order; `text` is what stands in the prompt, for slots and special tokens a marker.
        demos: the numbers of the parts of each demonstration.
    """

    parts: list[Part]
    demos: list[range]

    @property
    def text(self) -> str:
        """The whole prompt."""
        return "".join([part.text for part in self.parts])

    @property
    def ends(self) -> list[int]:
        """Where each part ends in the text."""
        return list(accumulate(len(part.text) for part in self.parts))

    @property
    def second_segment(self) -> int | None:
        """Where in the text the <sep> stands behind which the second segment begins; None if there is none."""
        at = 0
        for part in self.parts:
            if part.node == Special("sep"):
                return at
            at += len(part.text)
        return None


class Renderer:
    """Writes prompts of one template in the markers of one vocabulary.

    Attributes:
        outline: the template's parts without an example: fields are empty, and what Jinja decides about stands there.
        spaces: the white space before each mask, which belongs to the label word.
    """

    def __init__(self, template: Template, prompt_tokenizer: PromptTokenizer, options: Sequence[str]):
        """Write `template` with `options`, the label words for <options>.

        Raises:
            EncodingError: the template has <options>, and there are none.
            TokenizerError: the template has a special token that the tokenizer lacks.
        """
        self._template = template
        self._vocabulary = prompt_tokenizer
        self._options = tuple(options)
        parts = list(outline(template))
        self._has_options = any(isinstance(part.node, Options) for part in parts)
        if self._has_options and not options:
            raise EncodingError("<options> stands for the label words, and none are given: name them in a verbalizer")
        self.spaces = spaces_before_masks(parts)
        self.outline = self._arranged(with_options(parts, self._options))
        self._fields = [(i, part.node) for i, part in enumerate(self.outline) if isinstance(part.node, Field)]
        self._fresh = {Special(kind) for kind in prompt_tokenizer.space_after} & set(template.nodes)

    def render(
        self,
        values: Mapping[str, object],
        demonstrations: Sequence[Sequence[Part]] = (),
        *,
        row: int | None = None,
        example: str | Mapping[str, object] | None = None,
    ) -> Rendered:
        """Write the prompt of an example.

        Args:
            values: as `Template.read_fields` gives them.
            demonstrations: what `demonstrate` makes of each.
            row: the example's number, for error messages.
            example: as it was given, for error messages.

        Raises:
            FieldError: Jinja uses a value that is missing or of the wrong kind.
            TemplateLogicError: Jinja makes too much of the example, or not every mask exactly once.
        """
        if self._template.has_logic:
            parts = self._template.expand(values, row, example)
            parts = self._arranged(with_options(parts, self._options) if self._has_options else parts)
        else:
            parts = list(self.outline)
            for i, field in self._fields:
                parts[i] = Part(field, str(values[field.name]))
        demos: list[range] = []
        if self._template.demos is not None:
            parts, demos = _with_demonstrations(parts, demonstrations)
        if self._fresh:
            _begin_anew(parts, self._fresh)
        return Rendered(parts, demos)

    def demonstrate(self, demonstration: Demonstration) -> list[Part]:
        """Write a demonstration: see `write_demonstration`."""
        return [
            replace(part, text=self._vocabulary.special(part.node.kind)) if isinstance(part.node, Special) else part
            for part in write_demonstration(self._template, demonstration, self._options)
        ]

    def _arranged(self, parts: Sequence[Part]) -> list[Part]:
        """Parts with markers, without the white space that belongs to slots or tokens that the tokenizer adds."""
        prompt_tokenizer = self._vocabulary
        hands_over = (
            prompt_tokenizer.mask_id is None
        )  # a mask token takes in the space before it as its tokenizer would
        arranged: list[Part] = []
        for i, part in enumerate(parts):
            text = part.text
            match part.node:
                case Literal():
                    following = parts[i + 1].node if i + 1 < len(parts) else None
                    if isinstance(following, Soft):
                        text = text.rstrip()
                    elif isinstance(following, Mask) and hands_over:
                        text = text.removesuffix(self.spaces[following])
                    if not text:
                        continue
                case Soft():
                    text = prompt_tokenizer.slot_marker
                case Mask():
                    text = prompt_tokenizer.mask_marker
                case Special(kind):
                    text = prompt_tokenizer.special(kind)
            arranged.append(part if text is part.text else Part(part.node, text, part.block))
        return _without_frame(arranged, prompt_tokenizer.prefix_markers, prompt_tokenizer.suffix_markers)


def _without_frame(parts: list[Part], front: Sequence[str], back: Sequence[str]) -> list[Part]:
    """Parts without the special tokens at either end that the tokenizer adds there itself."""
    start, stop = 0, len(parts)
    if not isinstance(parts[0].node, Special) and not isinstance(parts[-1].node, Special):
        return parts
    for size in range(1, min(len(front), len(parts)) + 1):
        if [part.text for part in parts[:size]] == list(front[-size:]):
            start = size
    for size in range(1, min(len(back), len(parts) - start) + 1):
        if [part.text for part in parts[-size:]] == list(back[:size]):
            stop = len(parts) - size
    return parts[start:stop]


def _with_demonstrations(
    parts: Sequence[Part], demonstrations: Sequence[Sequence[Part]]
) -> tuple[list[Part], list[range]]:
    """Parts with the demonstrations in their place, and the numbers of the parts of each."""
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


def _begin_anew(parts: list[Part], fresh: Container[object]) -> None:
    """Put a space between special tokens of `fresh` and text, so that it is tokenized as the beginning of one."""
    last = 0
    for i, part in enumerate(parts):
        if not part.text:
            continue
        if parts[last].node in fresh and isinstance(part.node, Literal | Field) and part.text[0] not in " ▁":
            parts[last] = replace(parts[last], text=parts[last].text + " ")
        last = i


def write_demonstration(template: Template, demonstration: Demonstration, options: Sequence[str]) -> list[Part]:
    r"""The side of <demos> on which the masks stand, with label words in their places, and then the separator.

    Soft slots are left out; white space on both sides of one becomes that behind it.

    >>> template = Template("Good or bad?\n<demos><soft*5> <text> It was <mask>")
    >>> parts = write_demonstration(template, Demonstration({"text": "Dull."}, "bad"), options=())
    >>> "".join(part.text for part in parts)
    'Dull. It was bad\n\n'
    """
    parts = with_options(template.expand(demonstration.values), options)
    hole = next(i for i, part in enumerate(parts) if isinstance(part.node, Mask))
    breaks = [i for i, part in enumerate(parts) if isinstance(part.node, Demos)]
    first = max((i + 1 for i in breaks if i < hole), default=0)
    behind = min((i for i in breaks if i > hole), default=len(parts))
    sep = template.demos.sep if template.demos is not None else ""
    written = (_filled(part, demonstration.word) for part in _without_slots(parts[first:behind]))
    return [*written, Part(Literal(sep), sep)]


def _filled(part: Part, answer: Answer) -> Part:
    """The part, or the word that stands in its place if it is a mask."""
    if not isinstance(part.node, Mask):
        return part
    word = answer if isinstance(answer, str) else answer[str(part.node.name)]
    return Part(Literal(word), word)


def _without_slots(parts: Sequence[Part]) -> list[Part]:
    """Parts without soft slots and without the white space that would be double, or at an edge, where one was."""
    written: list[Part] = []

    def strip_last() -> None:
        if written and isinstance(written[-1].node, Literal):
            last = written.pop()
            written.append(replace(last, text=last.text.rstrip()))

    gap = False
    for part in parts:
        if isinstance(part.node, Soft):
            gap = True
            continue
        if gap and isinstance(part.node, Literal) and part.text[0].isspace():
            strip_last()
            if not written:
                part = replace(part, text=part.text.lstrip())
        if part.text or not isinstance(part.node, Literal):
            written.append(part)
            gap = False
    if gap:
        strip_last()
    return written


def outline(template: Template) -> Iterable[Part]:
    """The parts of a template of which nothing is known but the source: Jinja's values are empty fields."""
    nodes = template.nodes
    for i, node in enumerate(nodes):
        match node:
            case Literal(text):
                if text := literal_text(text, nodes, i):
                    yield Part(Literal(text), text)
            case Soft():
                yield Part(node, block=template.block_of(i))
            case Expression():
                yield Part(Field(""))
            case Statement():
                pass
            case _:
                yield Part(node)


def with_options(parts: Iterable[Part], options: Sequence[str]) -> list[Part]:
    """Parts with the label words written out for <options>, and literals next to each other made one.

    >>> [part.node for part in with_options(outline(Template("(<options>) <mask>")), ["好", "差"])]
    [Literal(text='(好, 差) '), Mask(count=None, name=None)]
    """

    def written(part: Part) -> Part:
        if not isinstance(part.node, Options):
            return part
        text = part.node.sep.join(options)
        return Part(Literal(text), text)

    return merge_literals(map(written, parts))


def spaces_before_masks(parts: Sequence[Part]) -> dict[Mask, str]:
    """The white space at the end of the literal before each mask, "" where there is none."""
    spaces = {}
    for i, part in enumerate(parts):
        if isinstance(part.node, Mask):
            text = parts[i - 1].text if i > 0 and isinstance(parts[i - 1].node, Literal) else ""
            spaces[part.node] = text[len(text.rstrip()) :]
    return spaces
