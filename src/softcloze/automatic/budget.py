"""The duration that an automatic choice may take."""

import re
import time

_SECONDS = {"s": 1, "min": 60, "h": 3600}
DURATION = 'a number of seconds above 0, or a duration with a unit, such as "90s", "2min" or "1h"'


def parse_duration(duration: object) -> float | None:
    """Convert a duration to seconds; None for any other value.

    >>> parse_duration("2min"), parse_duration("1.5 h"), parse_duration(90), parse_duration("soon")
    (120.0, 5400.0, 90.0, None)
    """
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        return float(duration) if 0 < duration < float("inf") else None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(s|min|h)", duration.strip()) if isinstance(duration, str) else None
    return float(match[1]) * _SECONDS[match[2]] or None if match is not None else None


class Budget:
    """A clock that started when it was made, and an estimate of what reading examples costs."""

    def __init__(self, seconds: float | None):
        """Start the clock; None for no limit."""
        self._limit = seconds
        self._started = time.monotonic()
        self._reading = 0.0
        self._examples = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def spent(self, seconds: float, examples: int) -> None:
        """Note that a number of examples took this long."""
        self._reading += seconds
        self._examples += examples

    def allows(self, examples: int) -> bool:
        """Return True if the time that is left suffices for so many examples, as far as those before tell."""
        return not self._examples or self.allows_seconds(self._reading / self._examples * examples)

    def allows_seconds(self, seconds: float) -> bool:
        """Return True if so much time is left."""
        return self._limit is None or self.elapsed + seconds <= self._limit
