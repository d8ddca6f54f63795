"""Per-example logic: what the Jinja in a template lets come out, compiled once and run for every example.

Jinja never sees the text of a template nor writes a prompt: each `{{ }}` and `{% %}` is read on its own, and what comes
out are parts, never one string that would have to be taken apart again. So a value stays what it is, whatever it holds.
"""

from collections.abc import Iterable, Mapping, Sequence

from softcloze.errors import FieldError, TemplateLogicError
from softcloze.formatting import abbreviate, line_and_column
from softcloze.template.jinja.filters import LimitReached, Refusal
from softcloze.template.jinja.runtime import Run, run_steps
from softcloze.template.jinja.statements import compile_statements
from softcloze.template.nodes import Demos, Mask, Placed, write
from softcloze.template.parts import Part, merge_literals
from softcloze.template.soft_blocks import SoftBlock


class Logic:
    """The compiled logic of one template.

    Attributes:
        fields: names that the example fills, of tags and in Jinja, in order of first appearance.
        variables: those of them that Jinja reads.
    """

    def __init__(self, placed: Sequence[Placed], blocks: Sequence[SoftBlock | None], source: str) -> None:
        """Compile the nodes of a template, `blocks` saying which soft block each has.

        Raises:
            TemplateSyntaxError: some Jinja among them breaks a rule.
        """
        self._placed, self._source = placed, source
        self._once = {tag.node: i for i, tag in enumerate(placed) if isinstance(tag.node, Mask | Demos)}
        self._steps, fields = compile_statements(placed, blocks, source)
        self.fields = tuple(fields)
        self.variables = tuple(name for name, in_jinja in fields.items() if in_jinja)

    def expand(self, values: Mapping[str, object], row: int | None, example: Mapping[str, object]) -> list[Part]:
        """The parts that come out for `values`; `row` and `example`, as it was given, are for messages.

        Raises:
            FieldError: a value is missing or of the wrong kind.
            TemplateLogicError: too much comes out, or not every mask exactly once and in order, or demonstrations
                more than once.
        """
        run = Run(dict(values), example)
        where = "" if row is None else f"row {row}: "
        try:
            run_steps(self._steps, run)
        except Refusal as refusal:
            error = TemplateLogicError if isinstance(refusal, LimitReached) else FieldError
            raise error(f"{where}{refusal} (in {self._named(run.at)})") from None
        self._check_once(run.parts, where)
        return merge_literals(run.parts)

    def _check_once(self, parts: Iterable[Part], where: str) -> None:
        came = [part.node for part in parts if type(part.node) in (Mask, Demos)]
        for node, i in self._once.items():
            count = came.count(node)
            if not count and isinstance(node, Mask):
                problem = (
                    "does not come out for this example, but always must: take it out of {% if … %} and {% for … %}"
                )
                raise TemplateLogicError(f"{where}{self._named(i)} {problem}")
            if count > 1:
                problem = f"comes out {count} times for this example, but only once can: take it out of {{% for … %}}"
                raise TemplateLogicError(f"{where}{self._named(i)} {problem}")
        if sum(isinstance(node, Mask) for node in came) > 1 and came != [node for node in self._once if node in came]:
            problem = "the masks come out in another order than they are written: take them out of {% for … %}"
            raise TemplateLogicError(f"{where}{problem}")

    def _named(self, i: int) -> str:
        node, start, _ = self._placed[i]
        return f"{abbreviate(write([node])[0], 60)} at {line_and_column(self._source, start)}"
