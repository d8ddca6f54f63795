"""Run-time state of a template's logic: the values of an example, the output and the work done."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeAlias

from softcloze.formatting import abbreviate, missing_field, nearest
from softcloze.template.jinja.filters import MAX_CHARACTERS, ExpressionError, LimitError, Missing
from softcloze.template.parts import Part

MAX_STEPS = 100_000
COST = 50  # of one operation, in characters: as many as are copied in the same time
LOOP = "loop."  # key of the innermost loop in a scope; not a valid field name


class Loop(NamedTuple):
    """The state of a loop."""

    index0: int
    length: int


@dataclass(slots=True)
class Run:
    """The state of one expansion.

    Attributes:
        scope: values by name; each iteration of a loop has its own scope.
        example: the example as given, for messages.
        parts: the output.
        at: index of the current node.
    """

    scope: dict[str, object]
    example: Mapping[str, object]
    parts: list[Part] = field(default_factory=list)
    at: int = 0
    _steps: int = 0
    _spent: int = 0

    def spend(self, characters: int) -> None:
        """Count work in characters; raise if the limit is exceeded."""
        self._spent += characters
        if self._spent > MAX_CHARACTERS:
            raise LimitError(f"this is more work than handling {MAX_CHARACTERS} characters, the most for one example")

    def count(self, steps: int) -> None:
        """Count loop iterations; all loops share one limit."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise LimitError(f"the loops take more than {MAX_STEPS} steps, the most for one example")

    def enter(self, outer: Mapping[str, object], names: Mapping[str, object]) -> Self:
        """Enter a new scope within `outer`; return the run."""
        self.spend(COST * len(outer))
        self.scope = {**outer, **names}
        return self


Evaluate: TypeAlias = Callable[[Run], object]
Step: TypeAlias = Callable[[Run], None]


def run_steps(steps: Iterable[Step], run: Run) -> None:
    """Run the steps in order."""
    for step in steps:
        step(run)


def reader(name: str) -> Evaluate:
    """A function that looks up the value of `name`."""

    def read(run: Run) -> object:
        return run.scope[name] if name in run.scope else Missing(lambda: _missing(name, run.example))

    return read


def _missing(name: str, example: Mapping[str, object]) -> str:
    ask = "" if nearest(name, example) else f"; where it may be missing, ask whether {abbreviate(name)} is defined"
    return missing_field(name, example) + ask


def present(evaluate: Evaluate) -> Evaluate:
    """Wrap `evaluate`: raise for a missing value, and count its length as work."""

    def value_of(run: Run) -> object:
        value = evaluate(run)
        if isinstance(value, Missing):
            raise ExpressionError(value.problem())
        run.spend(COST + len(value) if isinstance(value, str | list) else COST)
        return value

    return value_of
