"""The duration that an automatic choice may take."""

import re
import time
from collections import deque

_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600}
RECENT = 8  # forward passes whose durations count
DURATION = 'a number of seconds above 0, or a duration with a unit, such as "90s", "2min" or "1h"'


def parse_duration(duration: object) -> float | None:
    """Convert a duration to seconds; None for any other value.

    >>> parse_duration("2min"), parse_duration("1.5 h"), parse_duration("90"), parse_duration("soon")
    (120.0, 5400.0, 90.0, None)
    """
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        return float(duration) if 0 < duration < float("inf") else None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(s|min|h|)", duration.strip()) if isinstance(duration, str) else None
    return float(match[1]) * _SECONDS[match[2]] or None if match is not None else None


class Budget:
    """A clock that started when it was made, and estimates of what is still to do, from what was done last.

    The time of forward passes is expected by their tokens, at the slower of the latest speed and the recent mean.
    """

    def __init__(self, seconds: float | None):
        """Start the clock; None for no limit."""
        self._limit = seconds
        self._started = time.monotonic()
        self._reads: deque[tuple[float, float]] = deque(maxlen=RECENT)  # tokens and seconds of forward passes
        self._measured = 0
        self._fits: dict[int, float] = {}  # number of examples -> seconds of the latest heads that they judged

    @property
    def is_limited(self) -> bool:
        """True if there is a limit."""
        return self._limit is not None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def reserve(self, seconds: float) -> None:
        """Keep this time for what comes last."""
        if self._limit is not None:
            self._limit -= seconds

    def read(self, tokens: float, seconds: float) -> None:
        """Note the duration of forward passes."""
        if self._measured == 1:  # the first ones took what only comes once
            self._reads.clear()
        self._measured += 1
        self._reads.append((tokens, seconds))

    def fitted(self, examples: int, seconds: float) -> None:
        """Note the duration of fitting and judging the heads of a template."""
        self._fits[examples] = seconds

    def reading(self, tokens: float) -> float:
        """Expected seconds of forward passes; 0 before any."""
        if not self._reads:
            return 0.0
        latest, mean = self._reads[-1], tuple(map(sum, zip(*self._reads, strict=True)))
        return tokens * max(seconds / max(1.0, known) for known, seconds in (latest, mean))

    def fitting(self, examples: int) -> float:
        """Expected seconds of fitting and judging the heads of a template, which grow with the square of the examples.

        0 before any.
        """
        return max((seconds * (examples / known) ** 2 for known, seconds in self._fits.items()), default=0.0)

    def allows(self, seconds: float, step: float = 0.0, share: float = 1.0) -> bool:
        """Return True if so much time is left, even if the next step takes twice as long as expected.

        Args:
            seconds: expected, of all that is to be done.
            step: expected, of what is done before this is asked again, as a part of it.
            share: of the budget, in which it has to end.
        """
        return self._limit is None or self.elapsed + seconds + step <= share * self._limit
