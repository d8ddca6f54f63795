"""Run properties of hypothesis for a time, in rounds with consecutive seeds, and print each kind of failure once."""

import time
import traceback
from collections.abc import Callable, Mapping

from hypothesis import seed

from softcloze.errors import SoftclozeError

SOURCE = "softcloze"


def run(properties: Mapping[str, Callable[[], None]], script: str, budget: float, first: int | None) -> int:
    """Run every property for its share of the time, and print its number of rounds.

    Args:
        properties: tests that `hypothesis.given` made, by name; each call is one round.
        script: the command that reproduces a failure, without its arguments.
        budget: seconds in all.
        first: seed of the first round; None for one by the clock.

    Returns:
        The number of failures of different kinds.
    """
    failures = 0
    for name, check in properties.items():
        end = time.monotonic() + budget / len(properties)
        start = number = time.time_ns() if first is None else first
        while number == start or time.monotonic() < end:
            try:
                seed(number)(check)()
            except Exception as error:
                failures += 1
                seen.add(kind(error))
                traceback.print_exception(error)
                print(f"{name}: failed; {script} 1 {number} reproduces it", flush=True)
            number += 1
        print(f"{name}: {number - start:,} rounds", flush=True)
    print(f"{failures} failures", flush=True)
    return failures


seen: set[tuple[str, str, int]] = set()


def kind(error: BaseException) -> tuple[str, str, int]:
    """The kind of a failure: its class, and the innermost line of softcloze, or of the test where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"/{SOURCE}/" in frame.filename] or frames[-1:]
    return type(error).__name__, ours[-1].filename, ours[-1].lineno or 0


class Expected:
    """A `with` block in which errors of softcloze are expected, and failures that were reported are passed over."""

    def __init__(self, *others: type[Exception]):
        self.allowed = (SoftclozeError, *others)

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, traceback: object) -> bool:
        return isinstance(error, self.allowed) or (isinstance(error, Exception) and kind(error) in seen)
