"""The study of prompts that write: it resumes, measures what has changed, and its tables follow from its cells."""

import json

import pytest
from support import models

from benchmarks import generation
from benchmarks.generation import Cells, Task

SOFT = "Message: <text>\n<soft*2>JSON: <answer max=20>\n"
TASK = Task(
    file="pairs.jsonl",
    held_out=4,
    model="tiny",
    soft=SOFT,
    hard="Write JSON.\nMessage: <text>\nJSON: <answer max=20>\n",
    metrics=("json_valid", "json_exact", "json_fields", "chrf"),
    parameters=(("epochs", 1),),
)


@pytest.fixture
def study(tmp_path, monkeypatch):
    pairs = [{"text": f"{n} of us", "answer": json.dumps({"people": n})} for n in range(38)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    monkeypatch.setattr(generation, "DATA", tmp_path)
    monkeypatch.setattr(generation, "TASKS", {"bookings": TASK})
    monkeypatch.setattr(generation, "load_backbone", lambda model: models.backbone("gpt2"))

    def run(*options):
        monkeypatch.setattr("sys.argv", ["generation", "--out", str(tmp_path / "cells"), *options])
        generation.main()
        return {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "cells").iterdir()}

    return run


@pytest.mark.filterwarnings("ignore:the training loss")
def test_a_study_resumes_and_renders(study, tmp_path, monkeypatch, capsys):
    assert study("--draws", "2", "--minutes", "0") == {}
    first = study("--draws", "1")
    assert sorted(first) == [f"bookings,-{name},-0.json" for name in ("hard", "soft", "two-demonstrations")]
    assert capsys.readouterr().out.count("draw 0") == 3
    every = study("--draws", "2")
    assert capsys.readouterr().out.count("draw 1") == 2  # the hard prompt learns nothing
    assert len(every) == 5
    assert {name: every[name] for name in first} == first  # not measured again
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- tables -->old<!-- end of tables -->\nAfter.\n", encoding="utf-8")
    monkeypatch.setattr(generation, "PAGE", page)
    study("--draws", "2", "--render")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n<!-- tables -->")
    assert text.endswith("<!-- end of tables -->\nAfter.\n")
    assert "4 held-out rows, `epochs=1` for the soft prompt. 2 draws." in text
    assert "| hard | 1 | 0.000 | 0.000 | 0.000 |" in text
    assert "old" not in text


def test_cells_of_other_settings_are_not_counted(tmp_path, monkeypatch):
    cell = generation.Cell(SOFT, generation.settings(TASK, "soft"), 4, 1.0, ["", "", "", ""])
    monkeypatch.setattr(generation, "TASKS", {"bookings": TASK})
    cells = Cells(tmp_path)
    cells.write("bookings", "soft", 0, cell)
    assert cells.read("bookings", "soft", 0) == cell
    changed = Task(**{**vars(TASK), "parameters": (("epochs", 2),)})
    monkeypatch.setattr(generation, "TASKS", {"bookings": changed})
    assert cells.read("bookings", "soft", 0) is None
