"""Shards that are labelled one by one, in any order and with interruptions, join to the output of one run."""

import json
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import models
from support.command_line import interrupted_after_a_window

from softcloze import PromptClassifier
from softcloze.cli import main
from softcloze.prompt.streaming import WINDOW

ROWS = 2 * WINDOW + 10
SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prompt, and rows of which some are bad and only the last has another column."""
    folder = tmp_path_factory.mktemp("shards")
    models.model("bert").save_pretrained(folder / "model")
    models.tokenizer("wordpiece").save_pretrained(folder / "model")
    words = {"positive": ["good", "great"], "消极": ["bad", "差"]}
    PromptClassifier(str(folder / "model"), "<text> It was <mask>", words).save(folder / "prompt")
    lines = [{"text": f"{models.SENTENCES[i % 7]}, {i}"[i % 9 :], "id": i} for i in range(ROWS)]
    lines[300]["text"] = None
    lines[-1]["more"] = 2.5
    written = [json.dumps(line) for line in lines]
    written[-3] = "[1]"
    (folder / "rows.jsonl").write_text("\n".join(written), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for suffix in SUFFIXES:
            assert command("predict", "rows.jsonl", "--prompt", "prompt", "--out", f"whole{suffix}") == 0
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Commands in a folder with the prompt and the rows; each returns its exit code and what it says."""
    for name in ("rows.jsonl", "prompt"):
        (tmp_path / name).symlink_to(folder / name)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = command(*words)
        out, err = capsys.readouterr()
        return code, out + err

    run.shard = lambda shard, out="out.csv", *options: run(*SHARD, shard, "--out", out, *options)
    return run


def command(*words):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["softcloze", *words])
        main()
    return stop.value.code


SHARD = ("predict", "rows.jsonl", "--prompt", "prompt", "--shard")


def test_joined_shards_are_the_output_of_one_run_to_the_byte(run, folder, tmp_path):
    for shard in ("3/3", "1/3", "2/3"):
        code, said = run.shard(shard)
        assert code == 0
        assert "for softcloze join, when all 3 shards are done" in said
        assert not (tmp_path / "out.csv").exists()
    assert "warning: 1 of 256 rows could not be scored and have no label\n  line 301: field 'text'" in said
    shards = sorted(tmp_path.glob("*.part"))
    for suffix in SUFFIXES:  # the results of a shard are those of every kind of file
        code, said = run("join", "rows.jsonl", *map(str, shards), "--out", f"out{suffix}")
        assert code == 0
        assert f"written to out{suffix} from 3 shards" in said
        assert f"warning: 2 of {ROWS} rows could not be scored and have no label\n  line 301: field 'text'" in said
        assert (tmp_path / f"out{suffix}").read_bytes() == (folder / f"whole{suffix}").read_bytes()
    assert sorted(tmp_path.glob("*.part")) == shards


def test_a_shard_resumes_and_a_finished_one_loads_no_model(run, folder, tmp_path, monkeypatch):
    with interrupted_after_a_window():
        code, said = run.shard("2/2")
    assert code != 0
    assert "interrupted: 256 rows are saved" in said
    run.shard("1/2")
    code, said = run("join", "rows.jsonl", "--out", "out.csv")
    assert code == 2
    assert "unfinished: out.csv.2-of-2.part has 256 of 266 rows; run its command again" in said
    code, said = run.shard("2/2")
    assert "resuming: 256 of 266 rows are done already, in out.csv.2-of-2.part" in said
    monkeypatch.setattr("softcloze.cli.saved.open_backbone", None)
    code, said = run.shard("2/2")
    assert (code, "resuming: 266 of 266" in said) == (0, True)
    assert run("join", "rows.jsonl", "--out", "out.csv")[0] == 0
    assert (tmp_path / "out.csv").read_bytes() == (folder / "whole.csv").read_bytes()


def test_shards_that_do_not_make_a_whole_are_named(run, folder, tmp_path):
    assert "there are no shards beside out.csv" in run("join", "rows.jsonl", "--out", "out.csv")[1]
    for shard in ("1/3", "3/3"):
        run.shard(shard)
    shutil.copy("out.csv.1-of-3.part", "copy.part")
    shards = ("out.csv.1-of-3.part", "copy.part", "out.csv.3-of-3.part")
    code, said = run("join", "rows.jsonl", *shards, "--out", "out.csv")
    assert code == 2
    assert said == (
        "error: out.csv cannot be written from these shards:\n"
        "  doubled: 1/3 is in out.csv.1-of-3.part and copy.part\n"
        "  missing: 2/3, which would be out.csv.2-of-3.part\n"
    )
    run.shard("1/2")
    code, said = run("join", "rows.jsonl", "--out", "out.csv")
    assert "they are shards of 2 (out.csv.1-of-2.part) and of 3 (out.csv.3-of-3.part)" in said
    (tmp_path / "out.csv.1-of-2.part").unlink()

    words = {"positive": "good", "消极": "bad"}
    PromptClassifier(str(folder / "model"), "<text> <mask>", words).save(tmp_path / "other")
    command("predict", "rows.jsonl", "--prompt", "other", "--shard", "2/3", "--out", "out.csv")
    code, said = run("join", "rows.jsonl", "--out", "out.csv")
    assert "of another prompt: out.csv.2-of-3.part" in said
    assert run.shard("2/3", "out.csv", "--restart")[0] == 0

    (tmp_path / "rows.jsonl").unlink()
    (tmp_path / "rows.jsonl").write_bytes((folder / "rows.jsonl").read_bytes() + b"\n")
    code, said = run("join", "rows.jsonl", "--out", "out.csv")
    assert said.count("of another input: ") == 3
    for path, reason in (("rows.jsonl", "nor generate --shard wrote it"), ("nowhere.part", "there is no such file")):
        code, said = run("join", "rows.jsonl", path, "--out", "out.csv")
        assert (code, f"error: {path} is not a shard" in said, reason in said) == (2, True, True)
    assert not (tmp_path / "out.csv").exists()


def test_shards_of_parquet_read_their_own_rows_and_a_change_is_noticed(run, folder, tmp_path):
    """Each shard is known by the row groups of its rows; together they cover every byte."""
    good = [line for line in (folder / "rows.jsonl").read_text("utf-8").splitlines() if line != "[1]"]
    rows = pa.Table.from_pylist([json.loads(line) for line in good])
    path = tmp_path / "rows.parquet"
    pq.write_table(rows, path, row_group_size=100)  # groups 0 to 2, 2 to 5 and 5 have the rows of the shards
    shards = ("predict", "rows.parquet", "--prompt", "prompt", "--out", "out.csv")
    for shard in ("1/3", "2/3", "3/3"):
        assert run(*shards, "--shard", shard)[0] == 0
    assert run("join", "rows.parquet", "--out", "out.csv")[0] == 0
    run("predict", "rows.parquet", "--prompt", "prompt", "--out", "whole.csv")
    whole, content = (tmp_path / "whole.csv").read_bytes(), path.read_bytes()
    assert (tmp_path / "out.csv").read_bytes() == whole

    metadata, changed = pq.read_metadata(path), bytearray(content)
    for group, shards_with_it in ((0, ["1/3"]), (2, ["1/3", "2/3"]), (5, ["2/3", "3/3"])):
        column = metadata.row_group(group).column(1)
        last = column.dictionary_page_offset + column.total_compressed_size - 1
        changed[:] = content
        changed[last] ^= 1
        path.write_bytes(changed)
        code, said = run("join", "rows.parquet", "--out", "out.csv")
        parts = [f"out.csv.{shard.replace('/', '-of-')}.part" for shard in shards_with_it]
        assert (code, said.count("of another")) == (2, len(parts))
        assert all(f"of another input: {part}\n" in said for part in parts)
        for shard in ("1/3", "2/3", "3/3"):  # rows of others may change: join is where that shows
            code, said = run(*shards, "--shard", shard)
            assert (code != 0, "a run with another input" in said) == (shard in shards_with_it,) * 2
    path.write_bytes(content)
    for other in (rows.slice(1), rows.slice(0, 300), rows.drop_columns("id")):
        pq.write_table(other, path, row_group_size=100)
        assert run("join", "rows.parquet", "--out", "out.csv")[1].count("of another input: ") == 3
    assert (tmp_path / "out.csv").read_bytes() == whole


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "1/0", "a/b", "-1/3", "1/3/5"])
def test_a_shard_that_does_not_exist_is_an_error(shard, run):
    code, said = run(*SHARD, shard, "--out", "out.csv")
    assert code == 2
    assert f"--shard {shard}: expected the number of a part and of all parts, from 1/16 to 16/16" in said


def test_shards_need_an_output_and_a_window_each(run):
    assert "--shard 1/2 needs --out" in run(*SHARD, "1/2")[1]
    code, said = run.shard("1/4")
    assert code == 2
    assert "the 522 rows of the input make 3 windows of 256, which stay together; take at most 3 shards" in said
