"""softcloze predict on files that are long, damaged, or interrupted half way."""

import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time

import pytest
from rich.cells import cell_len
from rich.console import Console
from support import models

from softcloze import PromptClassifier
from softcloze.cli import main, progress
from softcloze.cli.input_files import open_table
from softcloze.cli.predict import _preview
from softcloze.cli.resumable import Result, ResumableOutput
from softcloze.display import rich_table
from softcloze.prompt.streaming import WINDOW

ROWS = 3000
WORDS = {"positive": ["good", "great"], "消极": ["bad", "差"]}
BAD = {7: '{"text": null}', 300: '{"txet": "oops"}', 301: '{"text": ', 302: "[1]", 2999: '{"text": [1]}'}
ODD = {8: {"text": "lone \ud83d"}, 9: {"text": 5, "more": {"很": 1}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a prompt, rows of which some are bad, and what is made of them without an interruption."""
    folder = tmp_path_factory.mktemp("predict")
    models.model("bert").save_pretrained(folder / "model")
    models.tokenizer("wordpiece").save_pretrained(folder / "model")
    PromptClassifier(str(folder / "model"), "<text> It was <mask>", WORDS).save(folder / "prompt")
    sentences = models.SENTENCES
    lines = [{"text": f"{sentences[i % len(sentences)]} {i}"[i % 9 :], "id": i} for i in range(ROWS)]
    written = [BAD.get(i, json.dumps(ODD.get(i, line))) for i, line in enumerate(lines)]
    (folder / "rows.jsonl").write_text("\n".join(written), encoding="utf-8")
    assert predict(folder, "whole.jsonl") == 0
    return folder


@pytest.fixture(autouse=True)
def in_folder(monkeypatch, folder):
    monkeypatch.chdir(folder)


def arguments(out, *options):
    return ["predict", "rows.jsonl", "--prompt", "prompt", "--out", out, *options]


def predict(folder, out, *options):
    """The command in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["softcloze", *arguments(out, *options)])
        main()
    return stop.value.code


def test_bad_rows_become_error_rows(folder):
    found = [json.loads(line) for line in (folder / "whole.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(found) == ROWS
    assert {i: row["error"] for i, row in enumerate(found) if row["error"] is not None} == {
        7: "field 'text' is None: drop the row or give it a text, if only an empty one",
        300: "no field 'text': the example has 'txet'; did you mean 'txet'?",
        301: "rows.jsonl, line 302: not JSON: Expecting value at column 9",
        302: "rows.jsonl, line 303: expected a JSON object, found '[1]'",
        2999: "field 'text' must be text or a number, found list",
    }
    assert all((row["predicted"] is None) == (i in BAD) for i, row in enumerate(found))
    assert all(row["id"] == i for i, row in enumerate(found) if i not in BAD | ODD)
    assert (found[8]["text"], found[9]["more"]) == ("lone \ud83d", {"很": 1})


def test_standard_streams_and_gzip_hold_the_same_rows(folder, monkeypatch, capsysbinary):
    lines = (folder / "rows.jsonl").read_bytes().splitlines(keepends=True)[:20]
    expected = (folder / "whole.jsonl").read_bytes().splitlines(keepends=True)[:20]
    (folder / "few.jsonl.gz").write_bytes(gzip.compress(b"".join(lines)))
    for given, out, options in (("-", "-", ["--format", "jsonl"]), ("few.jsonl.gz", "few.ndjson.gz", [])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(lines))))
        monkeypatch.setattr(sys, "argv", ["softcloze", "predict", given, "--prompt", "prompt", "--out", out, *options])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
        printed = capsysbinary.readouterr().out
        written = printed if out == "-" else gzip.decompress((folder / out).read_bytes())
        rows, wanted = ([*map(json.loads, text.splitlines())] for text in (written, b"".join(expected)))
        for row, other in zip(rows, wanted, strict=True):
            assert row.keys() == other.keys()
            assert {key: row[key] for key in row if "prob" not in key} == {
                key: other[key] for key in other if "prob" not in key
            }
            if other["error"] is None:
                assert row["probability_positive"] == pytest.approx(other["probability_positive"], abs=1e-5)


def test_another_way_of_reading_does_not_resume_a_run(folder, capsys):
    (folder / "other.jsonl.part").write_text(
        json.dumps(["softcloze rows", {"way of reading it": "another"}, []]) + "\n"
    )
    assert predict(folder, "other.jsonl") == 2
    assert "another way of reading it" in capsys.readouterr().err


def test_probabilities_are_the_classifiers(folder):
    clf = PromptClassifier.load(folder / "prompt")
    rows = list(open_table(folder / "whole.jsonl").rows())
    for first in range(0, ROWS, WINDOW):  # in the same company, which in bfloat16 decides how scores are rounded
        window = [row for row in rows[first : first + WINDOW] if row["error"] is None]
        for row, own in zip(window, clf.predict_proba(window), strict=True):
            assert [row["probability_positive"], row["probability_消极"]] == pytest.approx(own.tolist(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch compiles with a compiler for C++")
def test_compiled_by_torch_it_says_the_same(folder):
    # in a process of its own, for the model is shared within one
    command = [
        sys.executable,
        "-c",
        "from softcloze.cli import main; main()",
        *arguments("compiled.jsonl", "--compile"),
    ]
    subprocess.run(command, check=True)
    found, expected = (list(open_table(folder / name).rows()) for name in ("compiled.jsonl", "whole.jsonl"))
    assert [row["error"] for row in found] == [row["error"] for row in expected]
    for row, own in zip(found, expected, strict=True):
        # in bfloat16, which it is where the processor multiplies that, rounding makes 0.01
        assert row["probability_positive"] == pytest.approx(own["probability_positive"], abs=0.03)


@pytest.mark.slow
def test_killed_at_a_random_moment(folder, capsys):
    """As `kill -9` does it, which no program can catch."""
    journal = folder / "killed.jsonl.part"
    code = "from softcloze.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *arguments("killed.jsonl")], env=os.environ) as process:
        deadline = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > 2:
                break
            time.sleep(0.005)
        time.sleep(random.random() * 0.2)  # where it dies must make no difference: any moment will do
        process.kill()
    assert not (folder / "killed.jsonl").exists()
    assert predict(folder, "killed.jsonl") == 0
    assert (folder / "killed.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
    assert not journal.exists()
    assert f"of {ROWS:,} rows are done already, in killed.jsonl.part" in capsys.readouterr().err


@pytest.fixture
def interrupted(monkeypatch, folder, capsys):
    """The name of an output whose run was interrupted by Ctrl-C after three windows."""
    out = f"interrupted-{random.random()}.jsonl"
    with monkeypatch.context() as patch:
        windows = iter([False, False, False, True])
        append = ResumableOutput.append

        def interrupt(self, window):
            if next(windows):
                raise KeyboardInterrupt
            append(self, window)

        patch.setattr(ResumableOutput, "append", interrupt)
        assert predict(folder, out) != 0
    assert "interrupted: 768 rows are saved; run the same command again to resume" in capsys.readouterr().err
    assert not (folder / out).exists()
    return out


def test_interrupted_and_resumed(interrupted, folder, monkeypatch, capsys):
    seen = []
    take_rows = progress.take_rows

    def watched(rows, total, done, **options):
        seen.append((total, done))
        return take_rows(rows, total, done, **options)

    monkeypatch.setattr("softcloze.cli.row_run.take_rows", watched)
    assert predict(folder, interrupted) == 0
    assert seen == [(ROWS, 768)]
    assert (folder / interrupted).read_bytes() == (folder / "whole.jsonl").read_bytes()
    out, err = capsys.readouterr()
    assert err.startswith(f"resuming: 768 of {ROWS:,} rows are done already")
    assert f"warning: 5 of {ROWS:,} rows could not be scored and have no label\n  line 8: field 'text'" in err
    assert out.startswith(f"{ROWS - 5:,} rows labelled: ")


def test_a_file_that_changed_is_refused(interrupted, folder, capsys):
    rows, content = folder / "rows.jsonl", (folder / "rows.jsonl").read_bytes()
    rows.write_bytes(content.replace(b'"id": 5}', b'"id": 6}'))
    try:
        assert predict(folder, interrupted) == 2
        assert "with another input; --restart discards them" in capsys.readouterr().err
    finally:
        rows.write_bytes(content)
    assert predict(folder, interrupted, "--restart") == 0
    assert "resuming" not in capsys.readouterr().err
    assert (folder / interrupted).read_bytes() == (folder / "whole.jsonl").read_bytes()


TEXTS = ["这部电影真的很好看我非常喜欢" * 9, "short", "a long text that goes\n on and on and on " * 9]
LONG = ("contradiction", "entailment", "no entailment of any kind")


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("labels", [("neg", "pos"), LONG], ids=["short labels", "long labels"])
@pytest.mark.parametrize("columns", [("text",), ("text", "title")], ids=["one text", "two texts"])
def test_the_preview_shortens_texts_and_never_labels(width, labels, columns, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text, "title": text}) + "\n" for text in TEXTS), encoding="utf-8")
    chances = [0.25, 0.625, 0.125][: len(labels)]
    results = [Result(labels[0], chances, None), Result(None, None, "no"), Result(labels[-1], chances, None)]
    console = Console(width=width, file=io.StringIO())
    console.print(rich_table(_preview(open_table(path), results, columns, labels, console)))
    lines = console.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    text = " ".join(console.file.getvalue().split())
    assert "short" in text and "这部电" in text and "…" in text and "0.625" in text
    if width > 40 or labels != LONG:
        assert labels[0] in text and labels[-1] in text and "no label" in text
        assert len(lines) == 7  # none is folded
