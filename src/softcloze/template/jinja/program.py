"""The compiled Jinja of a template, run for every example.

Jinja never sees the text of a template and never writes a prompt. Each `{{ }}` and `{% %}` is parsed on its own, and
the output is a list of parts, not a string that must be parsed again. Field values are therefore always plain data.
"""

from collections.abc import Iterable, Mapping, Sequence

from softcloze.errors import FieldError, TemplateLogicError
from softcloze.formatting import abbreviate, line_and_column
from softcloze.template.jinja.filters import ExpressionError, LimitError
from softcloze.template.jinja.runtime import Run, run_steps
from softcloze.template.jinja.statements import compile_statements
from softcloze.template.nodes import Answer, Demos, Mask, Placed, write
from softcloze.template.parts import Part, merge_literals
from softcloze.template.soft_blocks import SoftBlock


class Logic:
    """The compiled logic of one template.

    Attributes:
        fields: names of field tags and of variables in Jinja, in order of first appearance.
        variables: those of `fields` that Jinja reads.
    """

    def __init__(self, placed: Sequence[Placed], blocks: Sequence[SoftBlock | None], source: str) -> None:
        """Compile the nodes of a template; `blocks` holds the soft block of each.

        Raises:
            TemplateSyntaxError: the Jinja breaks a rule.
        """
        self._placed, self._source = placed, source
        self._once = {tag.node: i for i, tag in enumerate(placed) if isinstance(tag.node, Mask | Answer | Demos)}
        self._steps, fields = compile_statements(placed, blocks, source)
        self.fields = tuple(fields)
        self.variables = tuple(name for name, in_jinja in fields.items() if in_jinja)

    def expand(self, values: Mapping[str, object], row: int | None, example: Mapping[str, object]) -> list[Part]:
        """The parts for `values`; `row` and `example` are for messages.

        Raises:
            FieldError: a value is missing or of the wrong type.
            TemplateLogicError: the output exceeds a limit, repeats <demos>, or does not have the <answer> or every
                mask exactly once and in order.
        """
        run = Run(dict(values), example)
        where = "" if row is None else f"row {row}: "
        try:
            run_steps(self._steps, run)
        except ExpressionError as error:
            kind = TemplateLogicError if isinstance(error, LimitError) else FieldError
            raise kind(f"{where}{error} (in {self._position(run.at)})") from None
        self._validate_once(run.parts, where)
        return merge_literals(run.parts)

    def _validate_once(self, parts: Iterable[Part], where: str) -> None:
        present = [part.node for part in parts if type(part.node) in (Mask, Answer, Demos)]
        for node, i in self._once.items():
            count = present.count(node)
            if not count and isinstance(node, Mask | Answer):
                problem = "is missing from the output for this example: move it out of {% if … %} and {% for … %}"
                raise TemplateLogicError(f"{where}{self._position(i)} {problem}")
            if count > 1:
                problem = (
                    f"is in the output {count} times for this example, expected once: move it out of {{% for … %}}"
                )
                raise TemplateLogicError(f"{where}{self._position(i)} {problem}")
        if sum(isinstance(node, Mask) for node in present) > 1 and present != [
            node for node in self._once if node in present
        ]:
            problem = "the order of masks in the output differs from that in the template: move them out of {% for … %}"
            raise TemplateLogicError(f"{where}{problem}")

    def _position(self, i: int) -> str:
        node, start, _ = self._placed[i]
        return f"{abbreviate(write([node])[0], 60)} at {line_and_column(self._source, start)}"
