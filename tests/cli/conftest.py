import csv
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.command_line import CommandLine

SCRIPT = Path(sys.executable).with_name("softcloze")

GOOD = ["a delight from start to finish", "warm, funny and wise", "i loved it [bold]so[/bold] much", "a great film"]
BAD = ["a dull mess", "i hated every minute", "boring, slow and stupid", "awful acting [/] and bad music"]


def environment(changes):
    """The environment of a command: no terminal, one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"} | (changes or {})


@pytest.fixture(scope="session")
def run_script():
    """Run the installed script as a user would, with no terminal; its imports take seconds."""

    def run(*args, cwd, env=None):
        return subprocess.run(
            [SCRIPT, *map(str, args)],
            cwd=cwd,
            env=environment(env),
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory):
    """The folder in which libraries of the hub keep what they load, for commands by `run`."""
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="session")
def run(tmp_path_factory, hub_cache):
    """Run a command in a process of its own that has its imports already."""
    with closing(CommandLine(tmp_path_factory.mktemp("command-line"), {"HF_HOME": str(hub_cache)})) as line:
        yield lambda *args, cwd, env=None: line.run([*map(str, args)], cwd=cwd, env=environment(env))


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
