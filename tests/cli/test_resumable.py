"""Runs that are interrupted anywhere end in the output of one that is not."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from softcloze.cli import resumable as runs
from softcloze.cli.input_files import open_table
from softcloze.cli.output_files import format_of
from softcloze.cli.resumable import RowCounts, Run
from softcloze.errors import FileError

NAMES = ("predicted", "probability_好", "probability_bad", "error")
PURPOSE = {"input": "a", "prompt": "b", "--text-column": None}
SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]


class Killed(BaseException):
    """Stands for a signal that nothing can catch."""


@pytest.fixture(autouse=True)
def a_part_for_each_write(monkeypatch):
    monkeypatch.setattr(runs, "PART_SECONDS", 0)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "in.jsonl"
    rows = [{"id": i, "text": f'第{i}, "quoted"\nline' if i % 3 else f"lone \ud83d{i}"} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return open_table(path)


def labelled(table):
    """Rows as `predict` has them, every fifth a bad one."""
    for i, row in enumerate(table.rows()):
        found = ("好" if i % 2 else "bad", i / 12, 1 - i / 12, None) if i % 5 else (None, None, None, f"bad row {i}")
        yield {**row, **dict(zip(NAMES, found, strict=True))}


def work(out, table, *, restart=False):
    """What `predict` does, three rows at a time."""
    run = Run(out, format_of(out, table, NAMES), PURPOSE, restart=restart)
    begun = run.counts.rows
    rows = [*labelled(table)][begun:]
    for start in range(0, len(rows), 3):
        run.write(rows[start : start + 3])
    run.finish()
    return begun, run


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_killed_anywhere_and_resumed(suffix, table, tmp_path, monkeypatch):
    """At each renaming, which is all that others can see: just before it, and just after."""
    _, whole = work(tmp_path / f"whole{suffix}", table)
    rename, begun = Path.replace, set()

    def die(number, *, behind):
        renamed = 0

        def replace(self, target):
            nonlocal renamed
            renamed += 1
            if renamed < number or behind:
                rename(self, target)
            if renamed == number:
                raise Killed

        out = tmp_path / f"{number}-{behind}{suffix}"
        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None)  # the dead do not tidy up
        try:
            work(out, table)
            alive = True
        except Killed:
            alive = False
        monkeypatch.undo()
        monkeypatch.setattr(runs, "PART_SECONDS", 0)
        assert not out.exists() or out.read_bytes() == whole.out.read_bytes()
        begun.add(work(out, table)[0])
        assert out.read_bytes() == whole.out.read_bytes()
        assert not out.with_name(out.name + ".part").exists()
        return alive

    number = 1
    while not die(number, behind=False):
        die(number, behind=True)
        number += 1
    assert number > 10
    assert begun == {0, 3, 6, 9, 12}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written(suffix, table, tmp_path):
    out = tmp_path / f"out{suffix}"
    _, run = work(out, table)
    expected = [*labelled(table)]
    assert run.counts == RowCounts({"bad": 4, "好": 5}, 3, {i: f"bad row {i}" for i in (0, 5, 10)})
    match suffix:
        case ".jsonl":
            found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        case ".parquet":
            found = pyarrow.parquet.read_table(out).to_pylist()
        case _:
            with out.open(encoding="utf-8", newline="") as file:
                found = [*csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")]
            expected = [{key: "" if value is None else str(value) for key, value in row.items()} for row in expected]
    if suffix != ".jsonl":
        expected = [row | {"text": row["text"].replace("\ud83d", "?")} for row in expected]
    assert found == expected
    assert [list(row) for row in found] == [["id", "text", *NAMES]] * 12


def test_small_writes_wait_for_each_other(table, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PART_SECONDS", 1e9)
    monkeypatch.setattr(runs, "PART_ROWS", 5)
    run = Run(tmp_path / "out.csv", format_of(tmp_path / "out.csv", table, NAMES), PURPOSE, restart=False)
    rows = [*labelled(table)]
    run.write(rows[:3])
    assert (run.counts.rows, [path.name for path in run.folder.iterdir()]) == (0, ["run.json"])
    run.write(rows[3:6])
    assert (run.counts.rows, sorted(path.name for path in run.folder.iterdir())) == (6, ["000000", "run.json"])


def interrupted(out, table):
    run = Run(out, format_of(out, table, NAMES), PURPOSE, restart=False)
    run.write([*labelled(table)][:3])
    return run


@pytest.mark.parametrize("changed", PURPOSE)
def test_another_purpose_is_refused_until_restart(changed, table, tmp_path):
    out = tmp_path / "out.csv"
    run = interrupted(out, table)
    before = sorted((path.name, path.read_bytes()) for path in run.folder.iterdir())
    with pytest.raises(FileError) as caught:
        Run(out, format_of(out, table, NAMES), PURPOSE | {changed: "other"}, restart=False)
    assert str(caught.value) == (
        f"{out}.part holds what an interrupted run did with another {changed}; --restart forgets that and begins "
        "anew, another --out keeps it"
    )
    assert sorted((path.name, path.read_bytes()) for path in run.folder.iterdir()) == before
    assert work(out, table, restart=True)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.csv"]


def test_a_folder_of_others_is_left_alone(table, tmp_path):
    mine = tmp_path / "out.csv.part" / "mine"
    mine.parent.mkdir()
    mine.touch()
    for restart in (False, True):
        with pytest.raises(FileError, match="holds no interrupted run"):
            Run(tmp_path / "out.csv", format_of(tmp_path / "out.csv", table, NAMES), PURPOSE, restart=restart)
    assert mine.exists()


def test_a_damaged_card_is_told(table, tmp_path):
    out = tmp_path / "out.csv"
    card = interrupted(out, table).folder / "run.json"
    for content in ("", "[]", "{}", card.read_text(encoding="utf-8")[:-20]):
        card.write_text(content, encoding="utf-8")
        with pytest.raises(FileError, match="--restart begins anew"):
            Run(out, format_of(out, table, NAMES), PURPOSE, restart=False)


def test_where_nothing_can_be_written(table, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    for out, message in (("folder.csv", "is a folder"), ("file/out.csv", "cannot write .*file/out.csv.part")):
        with pytest.raises(FileError, match=message):
            Run(tmp_path / out, format_of(tmp_path / out, table, NAMES), PURPOSE, restart=False)


def test_rows_without_a_label_leave_nothing(table, tmp_path):
    out = tmp_path / "out.csv"
    run = Run(out, format_of(out, table, NAMES), PURPOSE, restart=False)
    run.write([row | dict.fromkeys(NAMES) | {"error": "no"} for row in table.rows()])
    with pytest.raises(FileError, match="none of the 12 rows can be encoded; row 0: no"):
        run.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
