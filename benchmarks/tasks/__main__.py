"""Measure the methods of the study on its tasks, and render its tables.

Usage: python -m benchmarks.tasks [--out DIR] [--tasks …] [--methods …] [--shots 16 8 4 64] [--draws 5] [--hours 8]
                                  [--processes 1]
       python -m benchmarks.tasks [--out DIR] --render

The command resumes: all cells are kept in cells.json of the folder, which --render turns into the tables of
docs/measurements/tasks.md, and the runs of an interrupted comparison in its runs. The default folder is
benchmarks/tasks/measured, whose cells belong to the repository, so that a study may be finished on another day or
machine; after a change of a method its cells are removed by hand. Methods are measured in families, the quick ones
first; those that train slowly have three draws, the others five, and are measured on all tasks with the first number
of rows before the next one. --hours is the budget of wall time of all commands on one folder.
"""

from pathlib import Path

from benchmarks.tasks.command import Plan, run
from benchmarks.tasks.methods import FAMILIES, METHODS
from benchmarks.tasks.tables import Layout

PLAN = Plan(
    "benchmarks.tasks",
    FAMILIES,
    Layout(tuple(METHODS), ("automatic", "embeddings")),
    Path(__file__).parents[2] / "docs" / "measurements" / "tasks.md",
    Path(__file__).parent / "measured",
)

if __name__ == "__main__":
    run(PLAN, __doc__)
