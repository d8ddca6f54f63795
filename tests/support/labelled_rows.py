"""A file of rows, a saved prompt, and the labels of softcloze predict, for the libraries that divide rows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from softcloze import PromptClassifier
from support import models
from support.command_line import run_here

ROWS = 2000
PAGE = Path(__file__).parents[2] / "docs/how-to/clusters.md"


def make_folder(folder):
    """Write big.parquet, of which some rows are bad, my-prompt and whole.parquet, the output of softcloze predict."""
    models.model("bert").save_pretrained(folder / "model")
    models.tokenizer("wordpiece").save_pretrained(folder / "model")
    words = {"positive": ["good", "great"], "negative": ["bad", "terrible"]}
    PromptClassifier(str(folder / "model"), "<text> It was <mask>", words).save(folder / "my-prompt")
    texts = [None if i % 400 == 7 else f"{models.SENTENCES[i % 24]} {i}"[i % 9 :] for i in range(ROWS)]
    rows = pyarrow.table({"id": [*range(ROWS)], "text": texts})
    pyarrow.parquet.write_table(rows, folder / "big.parquet", row_group_size=256)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_here("predict", "big.parquet", "--prompt", "my-prompt", "--out", "whole.parquet") == 0


def expected_rows(folder):
    """The rows of softcloze predict, with the names of `BatchScorer`."""
    return pyarrow.parquet.read_table(folder / "whole.parquet").rename_columns({"predicted": "label"})


def validate_rows(found, expected):
    """The rows are those of one run; those of other windows may have probabilities with other last digits."""
    assert found.schema == expected.schema
    for name in expected.column_names:
        values, others = expected[name].to_pylist(), found[name].to_pylist()
        if name.startswith("probability_"):
            values = [value if value is None else pytest.approx(value, abs=1e-4) for value in values]
        assert others == values


def run_example(heading, folder):
    """Run the example under a heading of the page about clusters as a script, and read the rows that it writes."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (folder / "example.py").write_text(re.search(r"```py\n(.*?)```", section, re.DOTALL)[1], encoding="utf-8")
    subprocess.run([sys.executable, "example.py"], cwd=folder, check=True, timeout=300, env={**os.environ})
    return pyarrow.parquet.read_table(folder / "scores")
