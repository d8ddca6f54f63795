"""Help answers at once: nothing heavy is imported for it."""

import os
import subprocess
import sys

from softcloze.cli.app import COMMANDS, REGISTRY

CODE = """
import sys
from softcloze.cli import main

HEAVY = {"torch", "transformers", "sklearn", "datasets", "numpy", "pandas", "accelerate"}
for command in sys.stdin.read().splitlines():
    sys.argv = ["softcloze", *command.split()]
    try:
        main()
    except SystemExit as stop:
        assert stop.code == 0, (command, stop.code)
    assert not HEAVY & sys.modules.keys(), (command, HEAVY & sys.modules.keys())
    print("after", command)
"""


ALL = ["", *COMMANDS, "registry", "registry list"]  # the others are in its module


def test_help_imports_nothing_heavy():
    commands = ["--version", *(f"{name} --help".strip() for name in ALL)]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input="\n".join(commands),
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"COLUMNS": "100"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown, rest = {}, done.stdout
    for command in commands:
        shown[command], rest = rest.split(f"after {command}\n", 1)
    assert rest == "" and all(shown.values())
    assert all(name in shown["--help"] for name in [*COMMANDS, "registry"])
    assert all(name in shown["registry --help"] for name in REGISTRY)
