"""Runs that are interrupted anywhere end in the output of one that is not."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from softcloze.cli.input_files import open_table
from softcloze.cli.resumable import Result, ResumableOutput, RowCounts
from softcloze.errors import FileError

NAMES = ("predicted", "probability_好", "probability_bad", "error")
PURPOSE = {"input": "a", "prompt": "b", "--text-column": None}
SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]


class Killed(BaseException):
    """Stands for a signal that nothing can catch."""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "in.jsonl"
    rows = [{"id": i, "text": f'第{i}, "quoted"\nline' if i % 3 else f"lone \ud83d{i}"} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return open_table(path)


def results(count=12):
    """Results as `predict` has them, every fifth of a bad row."""
    for i in range(count):
        label = "好" if i % 2 else "bad"
        yield Result(label, (i / 12, 1 - i / 12), None) if i % 5 else Result(None, None, f"bad row {i}")


def labelled(table):
    """The rows of the finished output."""
    for row, result in zip(table.rows(), results(), strict=True):
        values = (result.answer, *(result.probabilities or (None, None)), result.error)
        yield {**row, **dict(zip(NAMES, values, strict=True))}


def work(out, table, *, restart=False):
    """The steps of `predict`, three rows at a time, of which one is kept before."""
    output = ResumableOutput(out, table, NAMES, PURPOSE, RowCounts.of(["bad", "好"]), restart=restart)
    begun = output.counts.rows
    rest = [*results()][begun:]
    for start in range(0, len(rest), 3):
        output.keep({begun + start: "first"})
        output.save_kept()
        output.append(rest[start : start + 3])
    output.finish()
    return begun, output


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_killed_while_the_journal_is_written(suffix, table, tmp_path):
    """Whatever bytes of the journal a killed process left, the output is that of an uninterrupted run."""
    _, whole = work(tmp_path / f"whole{suffix}", table)
    output = ResumableOutput(tmp_path / f"out{suffix}", table, NAMES, PURPOSE, RowCounts(), restart=False)
    header = len(output.journal.read_bytes())
    for start in range(0, 12, 3):
        output.keep({start: "好"})
        output.save_kept()
        output.append([*results()][start : start + 3])
    journal, begun = output.journal.read_bytes(), set()
    for length in [*range(header, len(journal), 17 if suffix == ".parquet" else 5), len(journal)]:
        output.journal.write_bytes(journal[:length])
        begun.add(work(output.out, table)[0])
        assert output.out.read_bytes() == whole.out.read_bytes()
        assert not output.journal.exists()
        output.out.unlink()
    assert begun == {0, 3, 6, 9, 12}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_killed_at_each_renaming(suffix, table, tmp_path, monkeypatch):
    """Just before and just after the journal and the output get their names."""
    _, whole = work(tmp_path / f"whole{suffix}", table)
    rename = Path.replace

    def die(number, *, after):
        renamed = 0

        def replace(self, target):
            nonlocal renamed
            renamed += 1
            if renamed < number or after:
                rename(self, target)
            if renamed == number:
                raise Killed

        out = tmp_path / f"{number}-{after}{suffix}"
        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None)  # the dead do not tidy up
        try:
            work(out, table)
            alive = True
        except Killed:
            alive = False
        monkeypatch.undo()
        assert not out.exists() or out.read_bytes() == whole.out.read_bytes()
        work(out, table)
        assert out.read_bytes() == whole.out.read_bytes()
        assert not out.with_name(out.name + ".part").exists()
        return alive

    number = 1
    while not die(number, after=False):
        die(number, after=True)
        number += 1
    assert number == 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written(suffix, table, tmp_path):
    out = tmp_path / f"out{suffix}"
    _, output = work(out, table)
    expected = [*labelled(table)]
    assert output.counts == RowCounts({"bad": 4, "好": 5}, 9, 3, {i: f"bad row {i}" for i in (0, 5, 10)})
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


def interrupted(out, table):
    output = ResumableOutput(out, table, NAMES, PURPOSE, RowCounts(), restart=False)
    output.append([*results(3)])
    return output


@pytest.mark.parametrize("changed", PURPOSE)
def test_another_purpose_is_an_error_until_restart(changed, table, tmp_path):
    out = tmp_path / "out.csv"
    journal = interrupted(out, table).journal
    before = journal.read_bytes()
    with pytest.raises(FileError) as caught:
        ResumableOutput(out, table, NAMES, PURPOSE | {changed: "other"}, RowCounts(), restart=False)
    assert str(caught.value) == (
        f"{out}.part keeps the rows of a run with another {changed}; --restart discards them, another --out keeps them"
    )
    assert journal.read_bytes() == before
    assert work(out, table, restart=True)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.csv"]


@pytest.mark.parametrize("content", ["mine", "", "[]", '["other", {}]\n'])
def test_a_file_of_others_is_left_alone(content, table, tmp_path):
    mine = tmp_path / "out.csv.part"
    mine.write_text(content, encoding="utf-8")
    for restart in (False, True):
        with pytest.raises(FileError, match="already exists and is not an interrupted run"):
            ResumableOutput(tmp_path / "out.csv", table, NAMES, PURPOSE, RowCounts(), restart=restart)
    assert mine.read_text(encoding="utf-8") == content


def test_a_folder_of_others_is_left_alone(table, tmp_path):
    (tmp_path / "out.csv.part").mkdir()
    for restart in (False, True):
        with pytest.raises(FileError, match="already exists and is not an interrupted run"):
            ResumableOutput(tmp_path / "out.csv", table, NAMES, PURPOSE, RowCounts(), restart=restart)


def test_a_damaged_journal_is_an_error(table, tmp_path):
    out = tmp_path / "out.csv"
    journal = interrupted(out, table).journal
    content = journal.read_text(encoding="utf-8")
    for damaged in (
        content[:-20] + "\n",
        content + "[1]\n",
        content + "[[1]]\n",
        content + content.splitlines(True)[1] * 4,
    ):
        journal.write_text(damaged, encoding="utf-8")
        with pytest.raises(FileError, match=r"is damaged: .*; --restart begins anew"):
            ResumableOutput(out, table, NAMES, PURPOSE, RowCounts(), restart=False)
    assert work(out, table, restart=True)[0] == 0


def test_two_processes_never_mix_their_rows(table, tmp_path):
    out = tmp_path / "out.jsonl"
    first, second = (ResumableOutput(out, table, NAMES, PURPOSE, RowCounts(), restart=False) for _ in range(2))
    first.append([*results(3)])
    with pytest.raises(FileError, match=r"out\.jsonl\.part is written by another process too"):
        second.append([*results(3)])
    first.append([*results()][3:])
    first.finish()
    assert [row["predicted"] for row in open_table(out).rows()] == [row["predicted"] for row in labelled(table)]


def test_an_input_that_changed_meanwhile_is_an_error(table, tmp_path):
    output = ResumableOutput(tmp_path / "out.csv", table, NAMES, PURPOSE, RowCounts(), restart=False)
    output.append([*results()])
    with table.source.path.open("a", encoding="utf-8") as file:
        file.write('{"id": 12, "text": "more"}\n')
    with pytest.raises(FileError, match=r"in\.jsonl changed during the run"):
        output.finish()
    assert not output.out.exists()


def test_where_nothing_can_be_written(table, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    for out, message in (
        ("folder.csv", "is a folder"),
        ("file/out.csv", r"cannot write .*file/out.csv: .*/file is not a folder"),
    ):
        with pytest.raises(FileError, match=message):
            ResumableOutput(tmp_path / out, table, NAMES, PURPOSE, RowCounts(), restart=False)


def test_rows_without_a_label_leave_nothing(table, tmp_path):
    output = ResumableOutput(tmp_path / "out.csv", table, NAMES, PURPOSE, RowCounts(), restart=False)
    output.append([Result(None, None, "no")] * 12)
    with pytest.raises(FileError, match="none of 12 rows can be scored; line 1: no"):
        output.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
