"""The page of the trials of an automatic choice: complete, self-contained, with text from outside escaped."""

import pytest
from support.html_page import Page, assert_complete

from softcloze.automatic import TrialRecord, Trials
from softcloze.automatic.cost import PredictionCost
from softcloze.errors import ParameterError
from softcloze.report.trials_page import trials_page

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\u202e<img src=x onerror=alert(1)>"


def trials(text="good", left_out=0):
    """Three trials, in which `text` is a label and a part of a template; the first one was chosen."""
    template = "<text> " + text.replace("<", r"\<").replace("{{", r"\{{") + " <mask>"
    records = (
        TrialRecord(template, "linear", "mask", 96, 0.4123, 0.875, 23.5, True),
        TrialRecord(template, "words", "mask", 96, 0.6, 0.75, 23.5, False),
        TrialRecord("All in all: <text> <mask>", "words", "mask", 48, 0.7, 0.5, 31.0, False),
    )
    return Trials(records, 61.4, left_out, (text, "bad"), PredictionCost(23.5, 1234.5))


def test_the_page_holds_the_trials_the_facts_and_the_chosen_template(tmp_path):
    path = trials(left_out=2).report(tmp_path / "新" / "page.html")
    html = path.read_text(encoding="utf-8")
    assert html == trials_page(trials(left_out=2))
    page = Page(html)
    first, second, third = [line for line in page.lines if "<mask>" in line and line.startswith("|")]
    assert first.startswith("| ✓") and "87.5%" in first and "| 96" in first
    assert not second.startswith("| ✓") and "| 48" in third
    for text in (
        "2: 'good', 'bad'",
        "61",
        "The budget left no time for 2 further templates.",
        "to predict a text",
        "24 tokens per text, about 1,234 s per 100 texts",
    ):
        assert text in page.text
    chosen = page.text[page.text.index("Chosen templates") : page.text.index("✓")]
    assert "good" in chosen and "All in all" not in chosen


@pytest.mark.parametrize("text", ["good", HOSTILE], ids=["plain", "hostile"])
def test_needs_nothing_else_and_text_of_users_is_text(text):
    html = trials_page(trials(text))
    assert html.lstrip().startswith("<!doctype html>") and html.rstrip().endswith("</html>")
    assert "\u202e" not in html
    assert_complete(html)


def test_a_path_that_is_none_raises():
    with pytest.raises(ParameterError, match="path"):
        trials().report(5)
