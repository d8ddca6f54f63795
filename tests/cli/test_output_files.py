"""Types of columns in Parquet: those of a Parquet file stay, and JSON lines get such as hold all values."""

import datetime
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from softcloze.cli.input_files import open_table
from softcloze.cli.output_files import is_same, writer_for
from softcloze.errors import FileError

NAMES = ("predicted", "probability_a", "error")
ADDED = dict.fromkeys(NAMES)


def written(path, table):
    """The table that is read again after all rows were written."""
    writer_for(path, table, NAMES)(path, (row | ADDED for row in table.rows()))
    return pyarrow.parquet.read_table(path).drop_columns(list(NAMES))


def test_types_of_a_parquet_file_stay(tmp_path):
    when = datetime.datetime(2026, 11, 22, 16, 32, tzinfo=datetime.UTC)
    given = pyarrow.table(
        {
            "text": pyarrow.array(["好", None, "b"], pyarrow.large_string()),
            "n": pyarrow.array([1, None, 3], pyarrow.int16()),
            "when": pyarrow.array([when, None, when], pyarrow.timestamp("ns", tz="UTC")),
            "parts": [[{"a": 1, "b": "x"}], [], None],
            "empty": pyarrow.nulls(3),
        }
    )
    kinds = pyarrow.array(["x", "y", "x"]).dictionary_encode()
    pyarrow.parquet.write_table(given.append_column("kind", kinds), tmp_path / "in.parquet")
    found = written(tmp_path / "out.parquet", open_table(tmp_path / "in.parquet"))
    assert found.equals(given.append_column("kind", pyarrow.array(["x", "y", "x"])))


def json_lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return open_table(path)


def test_types_hold_all_values_of_json_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("softcloze.cli.output_files.INFERRED", 1)
    table = json_lines(tmp_path / "a.jsonl", {"a": 1, "b": None, "c": []}, {"a": 0.5, "b": "很", "c": ["\ud83d"]}, {})
    found = written(tmp_path / "out.parquet", table)
    assert found.to_pydict() == {"a": [1.0, 0.5, None], "b": [None, "很", None], "c": [[], ["?"], None]}


@pytest.mark.parametrize(
    "values",
    [(1, "a"), ("a", [1]), (2**70,), (2**60 + 1, 0.5), ({},)],
    ids=["number and text", "text and list", "too large", "no fraction", "no fields"],
)
def test_what_parquet_cannot_hold_is_told_before_the_start(values, tmp_path, monkeypatch):
    table = json_lines(tmp_path / "a.jsonl", *({"a": value} for value in values))
    for together in (1, 10):
        monkeypatch.setattr("softcloze.cli.output_files.INFERRED", together)
        with pytest.raises(FileError, match=r"cannot write out.parquet: .*; .jsonl takes every kind of row"):
            writer_for(Path("out.parquet"), table, NAMES)


def test_half_a_character_that_only_json_can_write_is_named(tmp_path, capfd):
    table = json_lines(tmp_path / "a.jsonl", {"a": ["fine"]}, {"a": ["\ud83d"]})
    for suffix in (".jsonl", ".csv", ".parquet"):
        writer_for(Path(f"out{suffix}"), table, NAMES)
    place = f"warning: {tmp_path / 'a.jsonl'}, line 2: half a character (a lone surrogate) becomes a question mark in "
    message = capfd.readouterr().err
    assert message == "".join(f"{place}out{suffix}; .jsonl keeps it\n" for suffix in (".csv", ".parquet"))


def test_lists_and_objects_in_csv_are_json(tmp_path):
    table = json_lines(tmp_path / "a.jsonl", {"a": {"x": [None, "很"]}, "b": True})
    writer_for(tmp_path / "out.csv", table, NAMES)(tmp_path / "out.csv", table.rows())
    assert next(iter(open_table(tmp_path / "out.csv").rows()))["a"] == '{"x": [null, "很"]}'


def test_the_input_is_not_the_output_by_any_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("in.csv").write_text("text\nfine\n")
    Path("link.csv").symlink_to("in.csv")
    for out in ("in.csv", "link.csv", "gone/../in.csv", "~/in.csv"):
        assert is_same(Path(out), Path("in.csv"))
    assert not is_same(Path("out.csv"), Path("in.csv"))
    Path("loop.csv").symlink_to("loop.csv")
    for out, message in (
        ("loop.csv", "loop.csv is a link in a circle"),
        ("a" * 300, "cannot write a.*: File name too"),
    ):
        with pytest.raises(FileError, match=message):
            is_same(Path(out), Path("in.csv"))
