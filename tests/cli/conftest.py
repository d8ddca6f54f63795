import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("softcloze")

GOOD = ["a delight from start to finish", "warm, funny and wise", "i loved it [bold]so[/bold] much", "a great film"]
BAD = ["a dull mess", "i hated every minute", "boring, slow and stupid", "awful acting [/] and bad music"]


@pytest.fixture(scope="session")
def run():
    """Run the installed script as a user would, with no terminal."""

    def run(*args, cwd, env=None):
        extra = {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8", **(env or {})}
        return subprocess.run(
            [SCRIPT, *map(str, args)],
            cwd=cwd,
            env=os.environ | extra,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )

    return run


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
