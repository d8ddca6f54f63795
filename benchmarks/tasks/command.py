"""The command of a study: measure the cells that are missing, or render its tables."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.tasks.cells import Study
from benchmarks.tasks.methods import Family
from benchmarks.tasks.sets import SHOTS, TASKS, Task
from benchmarks.tasks.study import CELLS, Runner
from benchmarks.tasks.tables import Layout, render


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes:
        module: its name, as for `python -m`.
        families: its methods, the quick ones first.
        layout: of its tables.
        page: that contains them.
        folder: of the cells that were measured, by default.
        tasks: their names.
        shots: training rows of each class, the most important number first.
        hours: default budget of wall time.
    """

    module: str
    families: Mapping[str, Family]
    layout: Layout
    page: Path
    folder: Path
    tasks: tuple[str, ...] = tuple(TASKS)
    shots: tuple[int, ...] = SHOTS
    hours: float = 8.0

    @property
    def methods(self) -> list[str]:
        """Names of all methods."""
        return [name for family in self.families.values() for name in family.methods]

    def chosen(self, methods: list[str]) -> dict[str, Family]:
        """The families, with the named methods alone."""
        families = {
            name: replace(
                family, methods={method: make for method, make in family.methods.items() if method in methods}
            )
            for name, family in self.families.items()
        }
        return {name: family for name, family in families.items() if family.methods}


def run(plan: Plan, description: str) -> None:
    """Read the options, and measure or render."""
    parser = argparse.ArgumentParser(prog=f"python -m {plan.module}", description=description.splitlines()[0])
    parser.add_argument("--out", type=Path, default=plan.folder, metavar="DIR", help="folder of the cells and runs")
    parser.add_argument("--tasks", nargs="+", choices=plan.tasks, default=plan.tasks, metavar="TASK")
    parser.add_argument("--methods", nargs="+", choices=plan.methods, default=plan.methods, metavar="METHOD")
    parser.add_argument("--shots", nargs="+", type=int, choices=plan.shots, default=plan.shots)
    parser.add_argument("--draws", type=int, help="at most so many draws of the training rows")
    parser.add_argument("--hours", type=float, default=plan.hours, help="wall time of all commands on this folder")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--render", action="store_true", help=f"only write the tables into {plan.page.name}")
    given = parser.parse_args()
    if given.render:
        render(Study.read(given.out / CELLS), plan.layout, plan.page)
        return
    print(f"budget: {given.hours} hours in all", flush=True)
    say = partial(print, flush=True)
    runner = Runner(given.out, given.hours, lambda line: say(time.strftime("%H:%M:%S"), line), given.processes)
    tasks: list[Task] = [TASKS[name] for name in given.tasks]
    runner.run(tasks, plan.chosen(given.methods), given.shots, given.draws)
