"""Writing a report: atomic, with clear errors, and without changes to matplotlib's settings."""

import sys
from dataclasses import replace
from importlib import import_module

import matplotlib
import numpy as np
import pytest

import softcloze
from softcloze.analysis import TopWord
from softcloze.data import Examples, Split
from softcloze.errors import FileError, ParameterError, ReportError
from softcloze.experiments import Protocol, compare, tfidf
from softcloze.report import write_report
from softcloze.report.page import page
from softcloze.report.tables import confident_errors
from softcloze.report.verdict import ReportData


@pytest.fixture
def small(make):
    """A comparison of one method, with nothing to plot."""
    return make(rows=8, methods=make().methods[:1])


def test_the_file_is_there(small, tmp_path):
    path = small.report(tmp_path / "新的" / "report.html")
    assert path == tmp_path / "新的" / "report.html"
    assert path.read_bytes() == page(small).encode()
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


def test_an_old_report_stays_where_a_new_one_fails(small, tmp_path):
    path = write_report(small, tmp_path / "report.html")
    old = path.read_bytes()
    with pytest.raises(KeyError, match="no class"):
        write_report(replace(small, labels=("no class",) * 8), path)
    assert path.read_bytes() == old


def test_a_place_that_cannot_be_written_to_is_named(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot write .*file.report\.html"):
        write_report(small, tmp_path / "file" / "report.html")


@pytest.mark.parametrize("path", [None, 3, b"report.html"])
def test_a_path_of_another_type_is_told(small, path):
    with pytest.raises(ParameterError, match="but it has to be a path"):
        small.report(path)


def test_without_matplotlib_the_extra_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(softcloze, "report", softcloze.report)  # an import sets it, and it goes back with the modules
    for name in [name for name in sys.modules if name.startswith("softcloze.report")]:
        monkeypatch.delitem(sys.modules, name)
    report = import_module("softcloze.report")  # which needs no matplotlib
    with pytest.raises(ReportError, match=r"pip install 'softcloze\[report\]'"):
        report.write_report(small, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_matplotlib_is_left_as_it_was_and_the_users_settings_do_not_matter(make):
    found = make(rows=12, seeds=1)
    usual = page(found)
    with matplotlib.rc_context({"svg.fonttype": "path", "axes.grid": True, "font.size": 30, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert page(found) == usual
        assert dict(matplotlib.rcParams) == before


def test_confident_errors_are_the_surest_wrong_rows(make):
    found = make(rows=60, seeds=3)
    ranking = ReportData(found).rankings[-1]
    first, second, third = found.of(ranking.best.method, 16)
    told = {run.seed: {row: (TopWord(f"{row} by {run.seed}", 0.5),) for row in range(60)} for run in (second, third)}
    runs = tuple(replace(run, top_words=told.get(run.seed, {})) for run in found.runs)
    shown = confident_errors(replace(found, runs=runs), ranking)
    probabilities = [run.probabilities for run in found.of(ranking.best.method, 16)]
    expected = []
    for row, label in enumerate(found.labels):  # one row after the other
        mean = [float(np.mean([run[row, column] for run in probabilities])) for column in range(2)]
        given = found.classes[mean.index(max(mean))]
        if given != label:
            expected.append((max(mean), found.texts[row], label, given, row))
    expected.sort(key=lambda each: -each[0])
    assert expected
    assert [(each.text, each.label, each.predicted) for each in shown.worst] == [each[1:4] for each in expected[:10]]
    assert [each.predicted_probability for each in shown.worst] == pytest.approx([each[0] for each in expected[:10]])
    assert first.seed not in told
    assert [each.top_words[0].token for each in shown.worst] == [
        f"{each[4]} by {second.seed}" for each in expected[:10]
    ]


def test_nothing_worked(make):
    found = make(rows=4, seeds=1)
    runs = tuple(replace(run, probabilities=None, error="no memory") for run in found.runs)
    html = page(replace(found, runs=runs))
    assert "No run finished." in html
    assert html.count("no memory") == len(runs)


def test_a_comparison_that_was_run(tmp_path):
    good, bad = ("很好看", "非常喜欢", "推荐购买", "真不错"), ("太差了", "很失望", "不推荐", "真难看")
    rows = [(text, label) for label, texts in (("积极", good), ("消极", bad)) for text in texts]
    held_out = [(f"这部片子{text}", label) for text, label in rows]
    split = Split(Examples.from_rows(rows), Examples.from_rows(held_out))
    found = compare({"字": tfidf("char"), "words": tfidf()}, split, Protocol(shots=(1, 2), seeds=2))
    html = found.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "With 2 examples per class, <strong>字</strong> performs best" in html
    assert html.count("<svg") == 6  # learning curves, leads at one and two rows, seconds and numbers trained
