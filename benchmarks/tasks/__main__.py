"""Measure the methods of the study on its tasks, and render its tables.

Usage: python -m benchmarks.tasks --out DIR [--tasks …] [--methods …] [--shots 16 8 4 64] [--draws 5] [--hours 8]
                                           [--processes 1]
       python -m benchmarks.tasks --out DIR --render

The command resumes: finished runs are kept in DIR/runs, and all cells in DIR/cells.json, which --render turns into the
tables of docs/measurements/tasks.md. Methods are measured in families, the quick ones first; those that train slowly
have three draws, the others five, and are measured on all tasks with the first number of rows before the next one.
--hours is the budget of wall time of all commands on one folder.
"""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.tasks.cells import Study
from benchmarks.tasks.methods import FAMILIES, METHODS, Family
from benchmarks.tasks.sets import SHOTS, TASKS
from benchmarks.tasks.study import CELLS, Runner
from benchmarks.tasks.tables import PAGE, render


def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the cells and runs")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), metavar="TASK")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--shots", nargs="+", type=int, choices=SHOTS, default=list(SHOTS))
    parser.add_argument("--draws", type=int, help="at most so many draws of the training rows")
    parser.add_argument("--hours", type=float, default=8.0, help="budget of wall time of all commands on this folder")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--render", action="store_true", help=f"only write the tables into {PAGE.name}")
    given = parser.parse_args()
    if given.render:
        render(Study.read(given.out / CELLS))
        return
    print(f"budget: {given.hours} hours in all", flush=True)
    say = partial(print, flush=True)
    runner = Runner(given.out, given.hours, lambda line: say(time.strftime("%H:%M:%S"), line), given.processes)
    runner.run([TASKS[name] for name in given.tasks], chosen(given.methods), given.shots, given.draws)


def chosen(methods: list[str]) -> dict[str, Family]:
    """The families, with the named methods alone."""
    families = {
        name: replace(family, methods={method: make for method, make in family.methods.items() if method in methods})
        for name, family in FAMILIES.items()
    }
    return {name: family for name, family in families.items() if family.methods}


if __name__ == "__main__":
    main()
