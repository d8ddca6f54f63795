"""The page of a search: complete, self-contained, with text from outside escaped."""

import sys

import pytest
from support.html_page import Page, assert_complete

import softcloze
from softcloze.errors import ReportError
from softcloze.report.search_page import search_page
from softcloze.search import Candidate, Round, SearchSummary
from softcloze.search.importance import noise_share, parameter_importance

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\u202e$\\frac{1}{2}$<img src=x onerror=alert(1)>"


def summary(names=("<text>很<mask>", "<soft*3><text>很<mask>"), held_out=0.71):
    first = tuple(
        Candidate({"template": name, "epochs": epochs}, mean, (mean - 0.1, mean, mean + 0.1))
        for name, epochs, mean in ((names[1], 3, 0.82), (names[1], 9, 0.8), (names[0], 9, 0.61), (names[0], 3, 0.6))
    )
    rounds = (Round(first, "n_samples=40", 1), Round(first[1:2], "n_samples=120", 0))
    return SearchSummary(rounds, parameter_importance(first), noise_share(first), True, held_out)


def test_what_it_says(tmp_path):
    path = summary().report(tmp_path / "新" / "search.html")
    html = path.read_text(encoding="utf-8")
    text = Page(html).text
    for said in ("Round 2 of 2, n_samples=120", "Round 1 of 2, n_samples=40, 1 without a score", "0.820 ± 0.100"):
        assert said in text
    assert "is optimistic" in text and "the winner's score is 0.710" in text and "compare within a round" in text
    assert html.count("<svg") == 2 and "<soft*3><text>很<mask>" in text
    assert html == search_page(summary())


def test_print_and_notebooks_show_the_tables():
    found = summary()
    assert str(found) == str(found.table()) and "Round 2 of 2" in str(found) and "<table>" in found._repr_html_()


def test_needs_nothing_else():
    assert_complete(search_page(summary()))


def test_text_of_users_is_text():
    html = search_page(summary((HOSTILE, "b")))
    assert not {"script", "img"} & Page(html).tags and "\u202e" not in html
    assert "<script>alert(1)</script>{{ 7*7 }}⟨U+202E⟩" in Page(html).text


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(softcloze, "report", softcloze.report)  # an import sets it
    for name in [name for name in sys.modules if name.startswith("softcloze.report")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ReportError, match=r"pip install 'softcloze\[report\]'"):
        summary().report(tmp_path / "search.html")
    assert not list(tmp_path.iterdir())
