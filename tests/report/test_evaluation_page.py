"""The page of an evaluation: complete, self-contained, with text from outside escaped."""

from pathlib import Path

import numpy as np
import pytest
from support.html_page import Page, assert_complete

from softcloze import Template, Verbalizer
from softcloze.calibration import expected_calibration_error
from softcloze.calibration.metrics import confidence_bins
from softcloze.cli.evaluate import class_table, confusion_table, reliability_table
from softcloze.prompt.card import PromptCard
from softcloze.report.evaluation_page import evaluation_page, write_evaluation_report

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\u202e$\\frac{1}{2}$<img src=x onerror=alert(1)>"
HISTORY = [{"epoch": 1, "loss": 0.7321, "validation_loss": 0.81}, {"epoch": 2, "loss": 0.4123, "validation_loss": 0.9}]
RIGHT = np.array([True, False, True, True, True, False])
CONFIDENCE = np.array([0.55, 0.6, 0.61, 0.97, 0.98, 1.0])


def arguments(history=HISTORY, text="positive"):
    """The arguments of a page in which `text` is a label, the model and a part of the template."""
    training = {} if history is None else {"history": history}
    template = Template("<soft*2> <text> " + text.replace("<", r"\<").replace("{{", r"\{{") + " <mask>")
    verbalizer = Verbalizer({text: "good", "negative": "bad"})
    card = PromptCard(Path("prompt"), {"training": training}, template, verbalizer, text)
    bins = confidence_bins(RIGHT, CONFIDENCE)
    true = [text] * 6
    predicted = [text if right else "negative" for right in RIGHT]
    labels = (text, "negative")
    tables = [reliability_table(bins), class_table(labels, true, predicted), confusion_table(labels, true, predicted)]
    return [card], {"model": text}, tables, bins


def test_bins_have_the_gaps_of_the_calibration_error():
    bins = confidence_bins(RIGHT, CONFIDENCE)
    assert [(part.low, part.high, part.rows) for part in bins] == [(0.5, 0.6, 2), (0.6, 0.7, 1), (0.9, 1.0, 3)]
    gap = sum(part.rows * abs(part.accuracy - part.confidence) for part in bins) / 6
    probabilities = np.stack([CONFIDENCE, 1 - CONFIDENCE], axis=1)
    assert gap == pytest.approx(expected_calibration_error(np.where(RIGHT, "a", "b"), probabilities, labels=["a", "b"]))


def test_the_page_holds_the_numbers(tmp_path):
    path = tmp_path / "新" / "page.html"
    write_evaluation_report(path, *arguments())
    html = path.read_text(encoding="utf-8")
    lines = Page(html).lines
    assert "| 0.5 to 0.6| 0.575| 0.500| 2" in lines and "| 0.9 to 1.0| 0.983| 0.667| 3" in lines
    assert "| positive| 1.000| 0.667| 0.800| 6" in lines and "| positive| 4| 2" in lines
    assert "The accuracy is 66.7%, the mean confidence 78.5%." in lines
    assert html == evaluation_page(*arguments())


def test_plots_say_what_they_show():
    text = Page(evaluation_page(*arguments())).text
    assert "50.0% at 57.5%, 2 rows; 100.0% at 61.0%, 1 row; 66.7% at 98.3%, 3 rows." in text
    assert "training loss: 0.732 in the first epoch, 0.412 in the last of 2" in text
    assert "validation loss: 0.81 in the first epoch, 0.9 in the last of 2" in text


@pytest.mark.parametrize("history", [None, []])
def test_a_prompt_without_training_has_no_loss_curve(history):
    html = evaluation_page(*arguments(history))
    assert html.count("<svg") == 1 and "epoch" not in Page(html).text
    assert evaluation_page(*arguments(HISTORY[:1])).count("<svg") == 2


def test_an_ensemble_shows_the_template_and_the_loss_of_each_prompt():
    cards, *others = arguments()
    hard = cards[0]._replace(template=Template("All in all <text> <mask>"), entries={"training": {}})
    html = evaluation_page([hard, *cards], *others)
    assert_complete(html)
    text = Page(html).text
    assert "Templates" in text and "All in all" in text and "Training of prompt 2" in text
    assert html.count("<svg") == 2


@pytest.mark.parametrize("text", ["positive", HOSTILE], ids=["plain", "hostile"])
def test_needs_nothing_else_and_text_of_users_is_text(text):
    html = evaluation_page(*arguments(text=text))
    assert html.lstrip().startswith("<!doctype html>") and html.rstrip().endswith("</html>")
    assert "\u202e" not in html
    assert_complete(html)
    assert Page(html).text.count(text.replace("\u202e", "⟨U+202E⟩")) >= 4  # model, both tables, template
