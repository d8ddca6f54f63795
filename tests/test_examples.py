"""The examples and the first block of each README run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command, folder):
    result = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_example(example, tmp_path):
    assert run(ROOT / "examples" / example, folder=tmp_path).strip()


def first_block(readme):
    block = re.search(r"```python\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return block[1]


def test_first_block_of_the_readme(tmp_path):
    (tmp_path / "block.py").write_text(first_block("README.md"), encoding="utf-8")
    assert run("block.py", folder=tmp_path) == "['positive' 'negative']\n"


def test_both_readmes_begin_with_the_same_code():
    assert first_block("README.md") == first_block("README.zh-CN.md")
