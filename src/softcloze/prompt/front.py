"""The fixed front of a prompt, and the text after it as other programs tokenize it.

All that precedes the first field is the same in every prompt: special tokens, words and soft slots. A program that
knows nothing of templates takes it as vectors, and tokenizes the rest, the tail, as plain text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from softcloze.encoding import CompiledTemplate, Demonstration
from softcloze.errors import EncodingError, ParameterError
from softcloze.template import Answer, Field, Mask, Part, Soft, Special, Turn

# texts that start in different ways
PROBES = ("good", "A good film", '"No," he said', "(really) bad", "1984", "好看", "-- it was", "Äther, Ωmega")


@dataclass(frozen=True, slots=True)
class Front:
    """The fixed front of a prompt and its tail.

    Attributes:
        ids: ids of the front; negative ones are soft slots.
        tail: the text after it, for `str.format` with the fields and, where the model fills in a position of it, with
            `mask`; that of a causal model ends before the mask or the answer. Special tokens have their names, those at
            the end included.
    """

    ids: tuple[int, ...]
    tail: str


class Splitter:
    """Splits the prompts of one template into a front of ids and a tail of text, and tests the split.

    Attributes:
        compiled: the template.
        parts: its parts with "x" in every field, as they are before tokenization.
    """

    def __init__(self, compiled: CompiledTemplate, demonstrations: Sequence[Demonstration] = ()):
        """Encode some texts with `compiled`, a template without Jinja and with one mask or an answer.

        Raises:
            EncodingError: the shortest of these texts does not fit.
        """
        self.compiled = compiled
        self._tokenizer = compiled.prompt_tokenizer
        self._fields = compiled.template.fields
        rendered = compiled.render(dict.fromkeys(self._fields, "x"), demonstrations)
        self.parts = rendered.parts
        self._in_demos = {i for demo in rendered.demos for i in demo}
        examples = [dict.fromkeys(self._fields, probe) for probe in PROBES]
        prompts = compiled.encode(examples, demonstrations=[demonstrations] * len(PROBES))
        fills = compiled.answers is None or compiled.answers.fills
        mask_id = self._tokenizer.mask_id if fills else None
        self._whole = {
            probe: [*prompt.left] if mask_id is None else [*prompt.left, mask_id, *prompt.right]
            for probe, prompt in zip(PROBES, prompts, strict=True)
            if not prompt.cut
        }
        if not self._whole:
            raise EncodingError(f"no text fits: {PROBES[0]!r} is cut; shorten the template or raise max_length")

    @property
    def first(self) -> int:
        """Index of the first field outside demonstrations, or of the mask or the answer if it comes before."""
        variable = (
            i
            for i, part in enumerate(self.parts)
            if isinstance(part.node, Field | Mask | Answer) and i not in self._in_demos
        )
        return next(variable, len(self.parts))  # no part is the answer that a decoder writes

    def tail(self, start: int) -> str:
        """The text from part `start` on, for `str.format`; of a causal model up to the mask or the answer."""
        stop, ends = len(self.parts), ""
        if self._tokenizer.mask_id is None:  # the label word or the answer comes after the tail
            stop = next(i for i, part in enumerate(self.parts) if isinstance(part.node, Mask | Answer))
        elif self.compiled.adds_specials:
            ends = "".join(self._tokenizer.suffix_markers)
        written = "".join(self._pattern(i) for i in range(start, stop))
        return self._tokenizer.without_markers(written + ends)

    def front_ids(self, tail: str) -> tuple[int, ...] | None:
        """Ids before the tail; None if the tokenizer gives the tail other tokens by itself than in the whole prompt."""
        mask = self._tokenizer.without_markers(self._tokenizer.mask_marker)
        fronts = set()
        for probe, ids in self._whole.items():
            text = tail.format(**dict.fromkeys(self._fields, probe), mask=mask)
            tail_ids = self._tokenizer.original(text, add_special_tokens=False)["input_ids"]
            size = len(ids) - len(tail_ids)
            fronts.add(tuple(ids[:size]) if size >= 0 and ids[size:] == tail_ids else None)
        return fronts.pop() if len(fronts) == 1 else None

    def _pattern(self, i: int) -> str:
        part = self.parts[i]
        match part.node:
            case Field(name) if i not in self._in_demos:
                return f"{{{name}}}"
            case Mask() | Answer():
                return part.text.replace(self._tokenizer.mask_marker, "{mask}")
        return part.text.replace("{", "{{").replace("}", "}}")


def split_front(compiled: CompiledTemplate, demonstrations: Sequence[Demonstration] = ()) -> Front:
    """Split a template after its fixed front, as far to the right as the tokenization of the tail allows.

    Text that a tokenizer may join with what follows stays in the tail. The split is tested on texts of several kinds.

    Args:
        compiled: a template without Jinja, with one mask or an answer.
        demonstrations: fixed ones, for a template with <demos>.

    Raises:
        ParameterError: a soft slot stands after a field, the mask or the answer; nothing stands in front; or the
            tokenizer gives the tail other tokens by itself.
    """
    splitter = Splitter(compiled, demonstrations)
    first, parts = splitter.first, splitter.parts
    name = _tag(parts[first]) if first < len(parts) else "<answer>"
    for part in parts[first:]:
        if part.block is not None:
            raise ParameterError(
                f"the soft slot {part.block.key!r} stands after {name}, and an adapter has vectors in front of the "
                "text alone; move the slot to the front and fit again"
            )
    after = splitter.tail(first)
    for moved in _movable(parts[:first]):
        text = moved.replace("{", "{{").replace("}", "}}") + after
        for tail in dict.fromkeys([text, text.lstrip()]):
            ids = splitter.front_ids(tail)
            if ids:
                return Front(ids, tail)
            if ids is not None:
                raise ParameterError(f"nothing stands in front of {name}, so that there is nothing to export")
    raise ParameterError(
        f"this tokenizer gives the text from {name} on other tokens where it stands by itself; put a soft slot or a "
        "space before it"
    )


def _movable(parts: Sequence[Part]) -> Iterator[str]:
    """Texts at the end of the front that may belong to the tail: white space, then all after the last special token.

    No tokenizer joins the text before white space, or a special token, with what follows it.
    """
    text = "".join(part.text for part in parts)
    if space := text[len(text.rstrip()) :]:
        yield space
    last = max((i for i, part in enumerate(parts) if isinstance(part.node, Soft | Special | Turn)), default=-1)
    yield "".join(part.text for part in parts[last + 1 :])


def _tag(part: Part) -> str:
    if isinstance(part.node, Field):
        return f"<{part.node.name}>"
    return "<answer>" if isinstance(part.node, Answer) else "<mask>"
