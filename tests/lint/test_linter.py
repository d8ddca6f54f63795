"""lint as a whole: labels of the examples, and what it imports."""

import subprocess
import sys

import pytest

from softcloze import OrdinalVerbalizer, Template
from softcloze.errors import TemplateTypeError
from softcloze.lint import Finding, lint

HEAVY = ("torch", "transformers", "tokenizers", "numpy", "sklearn", "jinja2", "rich")


def test_labels_without_words_and_words_without_examples():
    words = {"good": "great", "bad": "awful"}
    assert lint("<text> It was <mask>", words, labels=["bad", "good", "good"]) == []
    missing, unused = lint("<text> It was <mask>", words, labels=iter(["good", "Bad", "Bad"]))
    source = "good: great\nbad: awful"
    message = "no label word for the label 'Bad'; did you mean 'bad'?"
    advice = "the labels are 'good', 'bad'"
    assert missing == Finding("missing-label", "error", message, advice, source, len(source), len(source))
    assert (unused.code, unused.severity) == ("unused-label", "note")
    assert lint("<text> It was <mask>", labels=["x"]) == []  # nothing to compare them with


def test_ordered_labels_without_words_of_their_own():
    stars = OrdinalVerbalizer([1, 2, 3], low="terrible", high="great")
    assert lint("<text> It was <mask>", stars, labels=[3, 2, 1]) == []
    assert [finding.code for finding in lint("<text> <mask>", stars, labels=[1, 2, 3, 4])] == ["missing-label"]


def test_a_template_may_be_a_string_or_parsed():
    assert lint("{x} <text> <mask>") == lint(Template("{x} <text> <mask>"))
    with pytest.raises(TemplateTypeError):
        lint(5)


def test_it_imports_nothing_heavy():
    code = f"from softcloze.lint import lint; import sys; lint('{{x}}<mask>'); print(*{{*sys.modules}} & {{*{HEAVY}}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
