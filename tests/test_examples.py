"""The examples and the first block of each README run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command, folder):
    result = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=900, env={**os.environ}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_example(example, tmp_path):
    assert run(ROOT / "examples" / example, folder=tmp_path).strip()


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_first_block_of_the_readme(readme, tmp_path):
    text = (ROOT / readme).read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    (tmp_path / "block.py").write_text(block[1], encoding="utf-8")
    out = run("block.py", folder=tmp_path)
    assert "['positive' 'negative']" in out


def test_both_readmes_show_the_same_code():
    blocks = [
        re.findall(r"```(?:python|sh)\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)
        for readme in ("README.md", "README.zh-CN.md")
    ]
    assert len(blocks[0]) == len(blocks[1])
    assert blocks[0][0] == blocks[1][0]
