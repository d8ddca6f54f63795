"""How far a comparison is, for whoever shows it."""

from dataclasses import dataclass
from statistics import fmean
from typing import TypeAlias

from softcloze.experiments.comparison import Comparison, Run
from softcloze.experiments.protocol import Shots

Cell: TypeAlias = tuple[str, Shots, int]  # name of a method, shots, seed


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a comparison, before each run and after the last.

    Attributes:
        comparison: what there is so far.
        done: runs that are behind.
        total: all runs.
        doing: the runs that are under way: method, shots and seed of each; none after the last.
        seconds_left: an estimate from the runs so far; None before the first.
    """

    comparison: Comparison
    done: int
    total: int
    doing: tuple[Cell, ...]
    seconds_left: float | None


def seconds_left(measured: list[Run], cells: list[Cell], processes: int) -> float | None:
    """How long the cells may take: as long as others of the same method and shots, or the same method, or any.

    Args:
        measured: runs of this very session.
        cells: what is to be done.
        processes: how many are done at a time.
    """
    if not measured:
        return None

    def expected(cell: Cell) -> float:
        for like in (cell[:2], cell[:1], ()):
            known = [
                run.fit_seconds + run.predict_seconds
                for run in measured
                if (run.method, run.shots)[: len(like)] == like
            ]
            if known:
                return fmean(known)
        return 0.0

    return sum(map(expected, cells)) / processes
