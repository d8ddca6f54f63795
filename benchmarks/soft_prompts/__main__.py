"""Measure what a soft slot can hold, and render the tables.

Usage: python -m benchmarks.soft_prompts [--out DIR] [--tasks …] [--methods …] [--shots 16 64] [--draws 3]
                                         [--hours 10] [--processes 1]
       python -m benchmarks.soft_prompts [--out DIR] --render

The command resumes, as that of benchmarks.tasks does; --render writes the tables of docs/measurements/soft-prompts.md.
"""

from pathlib import Path

from benchmarks.soft_prompts.methods import FAMILIES, METHODS
from benchmarks.tasks.command import Plan, run
from benchmarks.tasks.tables import Layout

PLAN = Plan(
    "benchmarks.soft_prompts",
    FAMILIES,
    Layout(METHODS, ("plain",), each=True, sizes=True),
    Path(__file__).parents[2] / "docs" / "measurements" / "soft-prompts.md",
    Path(__file__).parent / "measured",
    tasks=("movie-reviews", "tweets-3", "banking-en", "chinese-reviews"),
    shots=(16, 64),
    hours=10.0,
)

if __name__ == "__main__":
    run(PLAN, __doc__)
