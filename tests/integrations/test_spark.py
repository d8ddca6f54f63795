"""Spark on this machine: the example of the page about clusters gives the rows of softcloze predict."""

import os
import shutil
import sys

import pyarrow.compute
import pytest
from support.labelled_rows import expected_rows, make_folder, run_example, validate_rows

pytest.importorskip("pyspark")


@pytest.fixture(scope="module", autouse=True)
def java():
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.fail("Spark needs Java 17 or newer, and there is none; on Debian: apt install openjdk-17-jre-headless")


def test_the_example_gives_the_rows_of_predict(tmp_path, monkeypatch):
    make_folder(tmp_path)
    monkeypatch.setenv(
        "PYSPARK_SUBMIT_ARGS", "--master local[2] --conf spark.sql.files.maxPartitionBytes=20000 pyspark-shell"
    )
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    scored, expected = run_example("Spark", tmp_path), expected_rows(tmp_path)
    assert len([*(tmp_path / "scores").glob("*.parquet")]) > 1
    # a null is NaN in a frame
    errors = pyarrow.compute.replace_substring(scored["error"], "is NaN, a missing value", "is None")
    scored = scored.set_column(scored.column_names.index("error"), "error", errors)
    validate_rows(scored.sort_by("id").cast(expected.schema), expected)
