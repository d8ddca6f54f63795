"""Help answers at once: nothing heavy is imported for it."""

import os
import subprocess
import sys

import pytest

from softcloze.cli.app import COMMANDS, REGISTRY

CODE = """
import sys
from softcloze.cli import main
sys.argv = ["softcloze", *{args!r}]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
heavy = {{"torch", "transformers", "sklearn", "datasets", "numpy", "pandas", "accelerate"}} & sys.modules.keys()
assert not heavy, heavy
"""


ALL = [[], *([name] for name in [*COMMANDS, "registry"]), ["registry", "list"]]  # the others are in its module


@pytest.mark.parametrize("args", [["--version"], *([*words, "--help"] for words in ALL)])
def test_help_imports_nothing_heavy(args):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(args=args)],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"COLUMNS": "100"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in [*COMMANDS, "registry"]) or args != ["--help"]
    assert all(name in done.stdout for name in REGISTRY) or args != ["registry", "--help"]
