"""What the logic of a template knows: the values of an example, and the work that it has done."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeAlias

from softcloze.formatting import abbreviate, missing_field, nearest
from softcloze.template.jinja.filters import MOST_CHARACTERS, LimitReached, Missing, Refusal
from softcloze.template.parts import Part

MOST_STEPS = 100_000
COST = 50  # of one operation, in characters: about what can be copied meanwhile
LOOP = "loop."  # where a scope keeps the innermost loop: no name that a field could have


class Loop(NamedTuple):
    """Where a loop is."""

    index0: int
    length: int


@dataclass(slots=True)
class Run:
    """The state of one expansion.

    Attributes:
        scope: values by name; each step of a loop has its own.
        example: as it was given, for messages.
        parts: what has come out.
        at: index of the node that is being run.
    """

    scope: dict[str, object]
    example: Mapping[str, object]
    parts: list[Part] = field(default_factory=list)
    at: int = 0
    _steps: int = 0
    _spent: int = 0

    def spend(self, characters: int) -> None:
        """Pay for work, and stop where there is too much of it."""
        self._spent += characters
        if self._spent > MOST_CHARACTERS:
            raise LimitReached(
                f"this is more work than handling {MOST_CHARACTERS} characters, the most for one example"
            )

    def count(self, steps: int) -> None:
        """Count steps of a loop; all loops share one count."""
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise LimitReached(f"the loops take more than {MOST_STEPS} steps, the most for one example")

    def enter(self, outer: Mapping[str, object], names: Mapping[str, object]) -> Self:
        """The same run, from now on in a scope of its own within `outer`."""
        self.spend(COST * len(outer))
        self.scope = {**outer, **names}
        return self


Evaluate: TypeAlias = Callable[[Run], object]
Step: TypeAlias = Callable[[Run], None]


def run_steps(steps: Iterable[Step], run: Run) -> None:
    """Take the steps one after the other."""
    for step in steps:
        step(run)


def reader(name: str) -> Evaluate:
    """What reads the value of `name`."""

    def read(run: Run) -> object:
        return run.scope[name] if name in run.scope else Missing(lambda: _missing(name, run.example))

    return read


def _missing(name: str, example: Mapping[str, object]) -> str:
    ask = "" if nearest(name, example) else f"; where it may be missing, ask whether {abbreviate(name)} is defined"
    return missing_field(name, example) + ask


def present(evaluate: Evaluate) -> Evaluate:
    """Evaluate to a value that is there, and paid for by its length."""

    def value_of(run: Run) -> object:
        value = evaluate(run)
        if isinstance(value, Missing):
            raise Refusal(value.problem())
        run.spend(COST + len(value) if isinstance(value, str | list) else COST)
        return value

    return value_of
