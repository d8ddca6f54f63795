"""Dask on this machine: the example of the page about clusters gives the rows of softcloze predict, in their order."""

import pytest
from support.labelled_rows import expected_rows, make_folder, run_example

pytest.importorskip("dask.dataframe")
pytest.importorskip("distributed")


def test_the_example_gives_the_rows_of_predict(tmp_path):
    make_folder(tmp_path)
    scored, expected = run_example("Dask", tmp_path), expected_rows(tmp_path)
    assert len([*(tmp_path / "scores").glob("*.parquet")]) > 1
    assert scored.cast(expected.schema) == expected  # partitions of whole windows: to the last bit
