"""A comparison in the terminal while it runs."""

import time
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from softcloze.experiments import Progress
from softcloze.experiments.progress import Cell
from softcloze.experiments.table import shots_name
from softcloze.explanation.spelling import one_line


class LiveTable:
    """What there is of a comparison, with a line below that says what comes now and how long all will take."""

    def __init__(self) -> None:
        self._table: RenderableType = ""
        self._doing = "starting"
        self._ends: float | None = None  # by the clock of `time.monotonic`

    def update(self, event: Progress) -> None:
        """Show the state of a comparison."""
        self._table = event.comparison.table() if event.done else ""
        self._ends = None if event.seconds_left is None else time.monotonic() + event.seconds_left
        self._doing = f"run {event.done + 1} of {event.total}: {', '.join(map(_cell_name, event.doing))}"

    def __rich__(self) -> RenderableType:
        line = self._doing
        if self._ends is not None:
            line = f"about {timedelta(seconds=max(0, round(self._ends - time.monotonic())))} left; {line}"
        return Group(self._table, Text(line, no_wrap=True, overflow="ellipsis"))


def _cell_name(cell: Cell) -> str:
    """A run for people.

    >>> _cell_name(("soft", 16, 2)), _cell_name(("hard", 0, 0))
    ('soft (16 shots, seed 2)', 'hard')
    """
    method, shots, seed = cell
    return one_line(method) + (f" ({shots_name(shots)} shots, seed {seed})" if shots else "")
