"""How far an experiment is, for whoever draws a bar."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of an experiment.

    Attributes:
        done: work that is behind; examples trained on and examples scored, each pass counted.
        total: all the work there is, known from the start.
        doing: what is going on, for people.
    """

    done: int
    total: int
    doing: str


class Meter:
    """Counts work and tells a callback."""

    def __init__(self, total: int, on_progress: Callable[[Progress], None] | None):
        """Start at 0 of `total`."""
        self._done, self._total, self._on_progress = 0, total, on_progress

    def advance(self, work: int, doing: str) -> None:
        """Report that `work` more is done, and what is going on."""
        self._done += work
        if self._on_progress is not None:
            self._on_progress(Progress(self._done, self._total, doing))
