"""Parameters: the type and range of each, declared once, and the one function that validates values."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean, is_boolean


@dataclass(frozen=True, slots=True)
class Constraint:
    """The values that a parameter takes; `one | other` takes those of both.

    Attributes:
        expected: their description, which follows "it has to be" in messages.
        holds: returns True for such a value, and never raises.
        choices: the names among them, for suggestions.
    """

    expected: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()

    def __or__(self, other: "Constraint") -> "Constraint":
        return Constraint(
            f"{self.expected} or {other.expected}",
            lambda value: self.holds(value) or other.holds(value),
            self.choices + other.choices,
        )


def integer(*, at_least: int) -> Constraint:
    """Integers of at least `at_least`, numpy's included; True and 2.0 are not integers.

    >>> import numpy as np
    >>> integer(at_least=1).expected, integer(at_least=1).holds(np.int64(2)), integer(at_least=1).holds(True)
    ('an integer of at least 1', True, False)
    """
    return Constraint(
        f"an integer of at least {at_least}",
        lambda value: isinstance(value, Integral) and not _is_other(value) and int(value) >= at_least,
    )


def number(expected: str, within: Callable[[float], bool]) -> Constraint:
    """Finite numbers within a range, numpy's included; True is not a number.

    Args:
        expected: description of the range, such as "above 0".
        within: returns True for a number within it.

    >>> number("above 0", lambda value: value > 0).holds(math.inf)
    False
    """

    def holds(value: object) -> bool:
        if not isinstance(value, Real) or _is_other(value):
            return False
        try:
            return math.isfinite(value) and within(float(value))
        except OverflowError:  # an integer beyond all floats
            return False

    return Constraint(f"a number {expected}", holds)


def _is_other(value: object) -> bool:
    """Return True for truth values, and durations of numpy, which call themselves integers."""
    return isinstance(value, bool) or type(value).__name__ == "timedelta64"


def one_of(*names: str) -> Constraint:
    """The listed names alone.

    >>> one_of("equal", "stacked").expected
    "'equal' or 'stacked'"
    """
    expected = " or ".join(filter(None, (", ".join(map(repr, names[:-1])), repr(names[-1]))))
    return Constraint(expected, lambda value: isinstance(value, str) and value in names, names)


def instance_of(expected: str, *classes: type) -> Constraint:
    """Instances of some classes; `expected` describes them."""
    return Constraint(expected, lambda value: isinstance(value, classes))


NONE = Constraint("None", lambda value: value is None)
BOOLEAN = Constraint("True or False", is_boolean)
SEED = Constraint(
    "an integer from 0 to 2**32 - 1", lambda value: integer(at_least=0).holds(value) and int(value) < 2**32
)
FUNCTION = Constraint("a function", callable)
TEXT = instance_of("text", str)
PATH = instance_of("a path", str, Path)
NUMBER = number("that is finite", lambda value: True)
POSITIVE = number("above 0", lambda value: value > 0)
NOT_NEGATIVE = number("of at least 0", lambda value: value >= 0)
FRACTION = number("between 0 and 1", lambda value: 0 < value < 1)


def validate_parameters(values: Mapping[str, object], constraints: Mapping[str, Constraint]) -> None:
    """Raise ParameterError if a value does not meet its constraint.

    Args:
        values: parameters by name; one without a constraint takes any value.
        constraints: by name.

    Raises:
        ParameterError: names the parameter, its value and the values that it takes.

    >>> validate_parameters({"epochs": "3"}, {"epochs": integer(at_least=1) | NONE})
    Traceback (most recent call last):
    softcloze.errors.ParameterError: epochs='3', but it has to be an integer of at least 1 or None
    """
    for name, value in values.items():
        constraint = constraints.get(name)
        if constraint is not None and not constraint.holds(value):
            hint = did_you_mean(value, constraint.choices) if isinstance(value, str) else ""
            raise ParameterError(f"{name}={value!r:.80}, but it has to be {constraint.expected}{hint}")


def plain(value: Any) -> Any:  # noqa: ANN401 - any value may come
    """Convert a number of another kind, such as numpy's, to Python's, which JSON holds; other values stay.

    >>> import numpy as np
    >>> plain(np.float32(0.5)), plain(np.True_), plain("0.5")
    (0.5, True, '0.5')
    """
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    if isinstance(value, int | float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)
