"""Template: parsed and validated nodes, with their fields and soft blocks."""

import warnings
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Self

from softcloze.errors import TemplateSyntaxError, TemplateTypeError
from softcloze.formatting import quoted
from softcloze.template.canonical import kind_of, source_of
from softcloze.template.fields import read_fields
from softcloze.template.nodes import Answer, Demos, Expression, Literal, Mask, Node, Placed, Statement, Turn, write
from softcloze.template.parser import parse
from softcloze.template.parts import Part, fill
from softcloze.template.placeholders import Placeholder, find_placeholders, validate_reads
from softcloze.template.rules import field_of, validate_demos, validate_lists, validate_masks
from softcloze.template.soft_blocks import SoftBlock, assign_blocks
from softcloze.template.turns import validate_turns, without_layout

if TYPE_CHECKING:
    from softcloze.template.jinja.program import Logic


@dataclass(frozen=True, init=False, repr=False, slots=True)
class Template:
    """A parsed and validated template; templates with equal nodes are equal.

    `str` returns its canonical form, so `Template(str(t)) == t`.

    Attributes:
        nodes: literals, fields, soft slots, masks and all other nodes, in order.
        fields: names of the fields and of the variables that Jinja reads, in order of first appearance.
        blocks: trainable blocks of the soft slots, in order of first appearance.
        source: the template as given, including comments; the printed form of one made from nodes.
        spans: start and end in `source` of each of `nodes`.
        variables: those of `fields` that Jinja reads.
        lists: those of `fields` that hold lists of texts, for <options field=…>.
        masks: the masks, in order: one, or several with different names; none with an <answer>.
        demos: the <demos> tag, or None.
        turns: the chat turns, in order; none in a template of plain text.
        logic: the compiled Jinja, or None.
        node_blocks: the soft block of each of `nodes`, None for nodes other than soft slots.
        placeholders: text in literals that other tools would fill, such as {text}.

    Raises:
        TemplateSyntaxError: the source breaks a rule of the language.

    >>> template = Template("<soft init=about> <text max=0200> It was <mask><!-- so far -->")
    >>> print(template)
    <soft init="about"> <text max=200> It was <mask>
    >>> template.nodes[2]
    Field(name='text', max=200, keep='head', shorten=1.0)
    """

    nodes: tuple[Node, ...]
    fields: tuple[str, ...] = field(compare=False)
    blocks: tuple[SoftBlock, ...] = field(compare=False)
    source: str = field(compare=False)
    spans: tuple[tuple[int, int], ...] = field(compare=False)
    variables: tuple[str, ...] = field(compare=False)
    lists: tuple[str, ...] = field(compare=False)
    masks: tuple[Mask, ...] = field(compare=False)
    demos: Demos | None = field(compare=False)
    turns: tuple[Turn, ...] = field(compare=False)
    logic: "Logic | None" = field(compare=False)
    node_blocks: tuple[SoftBlock | None, ...] = field(compare=False)
    placeholders: tuple[Placeholder, ...] = field(compare=False)

    def __init__(self, source: str) -> None:
        if not isinstance(source, str):
            raise TemplateTypeError(f"a template is a string, as in '<text> It was <mask>', not {kind_of(source)}")
        placed = without_layout(parse(source), source)
        masks = validate_masks(placed, source)
        demos = validate_demos(placed, source)
        node_blocks = assign_blocks(placed, source)
        nodes = tuple(node for node, _, _ in placed)
        spans = tuple((start, end) for _, start, end in placed)
        logic = _logic(placed, node_blocks, source)
        turns = validate_turns(placed, source)
        lists = validate_lists(placed, source, has_logic=logic is not None)
        fields = tuple(dict.fromkeys(name for name in map(field_of, nodes) if name is not None))
        remember = object.__setattr__  # the class is frozen
        remember(self, "nodes", nodes)
        remember(self, "fields", fields if logic is None else logic.fields)
        remember(self, "blocks", tuple(dict.fromkeys(block for block in node_blocks if block is not None)))
        remember(self, "source", source)
        remember(self, "spans", spans)
        remember(self, "variables", () if logic is None else logic.variables)
        remember(self, "lists", lists)
        remember(self, "masks", masks)
        remember(self, "demos", demos)
        remember(self, "turns", turns)
        remember(self, "logic", logic)
        remember(self, "node_blocks", node_blocks)
        remember(self, "placeholders", find_placeholders(placed, source))

    @classmethod
    def from_nodes(cls, nodes: Iterable[Node]) -> Self:
        """Make a template from nodes; neighbouring literals are merged, empty ones dropped.

        Raises:
            TemplateSyntaxError: the nodes break a rule; the message shows their printed form.
            TemplateTypeError: an item is not a node.

        >>> from softcloze.template import Field
        >>> Template.from_nodes([Field("text"), Literal(" It"), Literal(" was "), Mask()])
        Template('<text> It was <mask>')
        """
        return cls(source_of(nodes))

    @property
    def has_logic(self) -> bool:
        """True if the template has Jinja."""
        return self.logic is not None

    @property
    def answer(self) -> Answer | None:
        """The <answer> tag, or None."""
        return next((node for node in self.nodes if isinstance(node, Answer)), None)

    @property
    def stop(self) -> str | None:
        r"""The stop string: the literal text between <answer> and the end; None if the model's own token ends answers.

        >>> Template("<question>\nA: <answer>\n###").stop, Template("<question>\nA: <answer>").stop
        ('\n###', None)
        """
        match self.nodes:
            case [*_, Answer(), Literal(text)]:
                return text
        return None

    def validate_classifies(self) -> None:
        """Raise if the template has an <answer>, where label words are scored.

        Raises:
            TemplateSyntaxError: it has one; shows the place.
        """
        for node, span in zip(self.nodes, self.spans, strict=True):
            if isinstance(node, Answer):
                problem = "<answer> is free text, which PromptGenerator writes; label words are scored at a <mask>"
                raise TemplateSyntaxError(problem, self.source, *span, "answer")

    def validate_writes(self) -> None:
        """Raise if the template has no <answer>, where free text is written.

        Raises:
            TemplateSyntaxError: it has a <mask>; shows the place.
        """
        if self.answer is None:
            at = next(i for i, node in enumerate(self.nodes) if isinstance(node, Mask))
            problem = (
                "a <mask> takes label words, for PromptClassifier; PromptGenerator writes free text at an <answer>"
            )
            raise TemplateSyntaxError(problem, self.source, *self.spans[at], "answer")

    @property
    def trains(self) -> bool:
        """True if the template has a soft slot that `fit` trains: one without train=no."""
        return any(block.train for block in self.blocks)

    def block_of(self, i: int) -> SoftBlock:
        """The soft block of `nodes[i]`, a soft slot.

        >>> Template("<text><soft*3 name=tail><mask>").block_of(1)
        SoftBlock(key='tail', count=3, init=None, layers=LayerRange(first=0, last=0), mode='add', via=None,
                  train=True, from_=None, from_by='embeddings')
        """
        block = self.node_blocks[i]
        if block is None:
            raise TemplateTypeError(f"node {i} of the template is {quoted(self.nodes[i], 80)}, not a Soft")
        return block

    @classmethod
    def from_openprompt(cls, text: str) -> Self:
        """Make a template from an OpenPrompt template: see `softcloze.template.importers.openprompt`.

        Raises:
            TemplateSyntaxError: `text` breaks the rules of OpenPrompt, or has no equivalent here; shows the place.
            TemplateTypeError: `text` is not a string.
        """
        from softcloze.template.importers.openprompt import read_openprompt

        return cls._from_imported(text, '{"placeholder": "text_a"} It was {"mask"}', read_openprompt)

    @classmethod
    def from_ruprompts(cls, text: str) -> Self:
        """Make a template from a ruPrompts template: see `softcloze.template.importers.ruprompts`.

        Raises as `from_openprompt`.
        """
        from softcloze.template.importers.ruprompts import read_ruprompts

        return cls._from_imported(text, "<P*20>{text}<P*10>", read_ruprompts)

    @classmethod
    def from_lmbff(cls, text: str) -> Self:
        """Make a template from an LM-BFF template: see `softcloze.template.importers.lmbff`.

        Raises as `from_openprompt`.
        """
        from softcloze.template.importers.lmbff import read_lmbff

        return cls._from_imported(text, "*cls**sent_0*_It_was*mask*.*sep+*", read_lmbff)

    @classmethod
    def _from_imported(cls, source: str, example: str, read: Callable[[str], Sequence[Placed]]) -> Self:
        """Build from the nodes that `read` finds in `source`, which errors show."""
        if not isinstance(source, str):
            raise TemplateTypeError(f"expected a template as text, as in {example!r}, not {kind_of(source)}")
        placed = read(source)
        nodes = [node for node, _, _ in placed]
        try:
            return cls.from_nodes(nodes)
        except TemplateSyntaxError as error:
            ends = list(accumulate(map(len, write(nodes))))
            at_fault = placed[min(bisect_right(ends, error.start), len(placed) - 1)]
            raise TemplateSyntaxError(error.problem, source, at_fault.start, at_fault.end) from error

    def read_fields(self, example: str | Mapping[str, object], row: int | None = None) -> dict[str, object]:
        """Read the field values of an example: see `softcloze.template.fields`.

        >>> Template("<title>: <text> It was <mask>").read_fields({"title": 1984, "text": "Read it.", "label": 1})
        {'title': '1984', 'text': 'Read it.'}
        """
        return read_fields(self.fields, self.variables, example, row, self.lists)

    def validate_reads(self, names: Collection[str]) -> None:
        r"""Raise if the template reads no field, or leaves one as a placeholder of another tool, such as {text}.

        Args:
            names: names of the fields of the examples; none for plain strings.

        Raises:
            TemplateSyntaxError: the template does not read its examples; shows the place.

        >>> Template("<a> or {b}: <mask>").validate_reads(["a", "b"])
        Traceback (most recent call last):
        softcloze.errors.TemplateSyntaxError: '{b}' is text here, not a field: write <b>, or \{b} to keep the text
          at line 1, column 8:
            <a> or {b}: <mask>
                   ^^^
        """
        placed = [Placed(node, *span) for node, span in zip(self.nodes, self.spans, strict=True)]
        validate_reads(placed, self.placeholders, self.fields, names, self.source)

    def validate_examples(self, examples: Iterable[object]) -> None:
        """Raise if the template does not read one of the examples, as `validate_reads` for its fields.

        An empty mapping passes: calibration takes one for the words around the mask alone.
        """
        if self.placeholders or not self.fields:
            for example in examples:
                if isinstance(example, str):
                    self.validate_reads(())
                elif isinstance(example, Mapping) and example:
                    self.validate_reads(example)

    def validate_varied(self, examples: Sequence[str | Mapping[str, object]]) -> None:
        """Raise if Jinja gives all examples the same prompt, though their fields differ.

        Raises:
            TemplateSyntaxError: they get the same prompt; shows the first Jinja.
            SoftclozeError: as `read_fields` and `expand`.
        """
        if self.logic is None:
            return
        values = [self.read_fields(example, row) for row, example in enumerate(examples)]
        prompts = [self.expand(given, row, examples[row]) for row, given in enumerate(values)]
        if any(given != values[0] for given in values) and all(prompt == prompts[0] for prompt in prompts):
            kinds = zip(self.nodes, self.spans, strict=True)
            start, end = next(span for node, span in kinds if isinstance(node, Expression | Statement))
            problem = f"all {len(values)} examples get the same prompt, though they differ: Jinja writes no field"
            raise TemplateSyntaxError(problem, self.source, start, end, "no-field")

    def warn_of_placeholders(self) -> None:
        """Warn of text that looks like a field of another tool, though no example has a field of that name."""
        for placeholder in self.placeholders:
            if placeholder.is_sure and placeholder.name not in self.fields:
                written = self.source[placeholder.start : placeholder.end]
                message = f"{written!r} looks like a tag, but is text: {placeholder.advice(self.source)}"
                warnings.warn(message, stacklevel=5)

    def expand(
        self,
        values: Mapping[str, object],
        row: int | None = None,
        example: str | Mapping[str, object] | None = None,
    ) -> list[Part]:
        """Fill the template with the field values of an example; with Jinja, neighbouring literals are merged.

        Args:
            values: field values as `read_fields` returns them.
            row: index of the example, for error messages.
            example: the example itself, for error messages to list its fields.

        Raises:
            FieldError: Jinja uses a value that is missing or of the wrong type.
            TemplateLogicError: the Jinja exceeds a limit, or does not write every mask exactly once.

        >>> for part in Template("{% if title %}<title>: {% endif %}<text> <mask>").expand({"title": "", "text": "好"}):
        ...     print(part.node, repr(part.text))
        Field(name='text', max=None, keep='head', shorten=1.0) '好'
        Literal(text=' ') ' '
        Mask(count=None, name=None) ''
        """
        if self.logic is not None:
            return self.logic.expand(values, row, example if isinstance(example, Mapping) else values)
        return fill(self.nodes, self.node_blocks, values)

    def _repr_html_(self) -> str:
        from softcloze.template.describe import as_html

        return as_html(self.nodes, self.node_blocks)

    def __str__(self) -> str:
        return "".join(write(self.nodes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.source,)  # unpickling parses and validates again


def _logic(placed: Sequence[Placed], node_blocks: Sequence[SoftBlock | None], source: str) -> "Logic | None":
    if not any(isinstance(tag.node, Expression | Statement) for tag in placed):
        return None
    from softcloze.template.jinja.program import Logic  # lazy: most templates do not need Jinja

    return Logic(placed, node_blocks, source)
