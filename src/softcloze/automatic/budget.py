"""The duration that an automatic choice may take."""

import re
import time

_SECONDS = {"s": 1, "min": 60, "h": 3600}
LEAST_MARGIN = 1.25  # factor of expected times
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
    """A clock that started when it was made, and estimates of what is still to do, from what was done.

    An estimate takes the slowest of what was measured, times a margin: the largest factor by which an earlier estimate
    fell short, at least `LEAST_MARGIN`.
    """

    def __init__(self, seconds: float | None):
        """Start the clock; None for no limit."""
        self._limit = seconds
        self._started = time.monotonic()
        self._of_example = 0.0  # seconds of a forward pass
        self._fits: dict[int, float] = {}  # number of examples -> seconds of judging heads on them
        self._margin = LEAST_MARGIN
        self._measured = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def reserve(self, seconds: float) -> None:
        """Keep this time for what comes last."""
        if self._limit is not None:
            self._limit -= seconds

    def judged(self, read: int, reading: float, size: int, fitting: float) -> None:
        """Note that a template took so many seconds to read some examples, and to judge its heads on all read so far.

        Args:
            read: number of examples that were read.
            reading: seconds of their forward passes.
            size: number of examples on which the heads were judged.
            fitting: seconds of it.
        """
        if self._fits and (expected := self.reading(read) + self.fitting(size)) > 0:
            self._margin = max(self._margin, (reading + fitting) / expected)
        self._measured += 1
        if self._measured == 2:  # the first one took what only comes once
            self._of_example, self._fits = 0.0, {}
        self._of_example = max(self._of_example, reading / max(1, read))
        self._fits[size] = max(self._fits.get(size, 0.0), fitting)

    def reading(self, examples: int) -> float:
        """Expected seconds of forward passes, without the margin."""
        return self._of_example * examples

    def fitting(self, size: int) -> float:
        """Expected seconds of judging heads on so many examples, without the margin; it grows with their square."""
        return max((seconds * (size / known) ** 2 for known, seconds in self._fits.items() if known <= size), default=0)

    def allows(self, seconds: float) -> bool:
        """Return True if so much time is left, with the margin."""
        return self._limit is None or self.elapsed + self._margin * seconds <= self._limit
