import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import run_as_script

SCRIPT = Path(sys.executable).with_name("softcloze")

GOOD = ["a delight from start to finish", "warm, funny and wise", "i loved it [bold]so[/bold] much", "a great film"]
BAD = ["a dull mess", "i hated every minute", "boring, slow and stupid", "awful acting [/] and bad music"]


ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture(scope="session")
def run_script():
    """Run the installed script as a user would, with no terminal; its imports take seconds."""

    def run(*args, cwd):
        return subprocess.run(
            [SCRIPT, *map(str, args)],
            cwd=cwd,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Run a command in this process, and return its exit code and its output as `run_script` does."""
    folder = tmp_path_factory.mktemp("output")
    return lambda *args, cwd, env=None: run_as_script(args, folder, cwd=cwd, env=ENVIRONMENT | (env or {}))


def write_reviews(path):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(
            [f"{text}, number {i}", label]
            for i in range(3)
            for label, texts in (("positive", GOOD), ("negative", BAD))
            for text in texts
        )


@pytest.fixture(scope="session")
def reviews(tmp_path_factory):
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    write_reviews(path)
    return path
