"""lint as a whole: labels of the examples, and what it imports."""

import subprocess
import sys

import numpy as np
import pytest
from support.models import borrowed

from softcloze import OrdinalVerbalizer, Template, Verbalizer
from softcloze.errors import LibraryError, ParameterError, TemplateTypeError, TokenizerError, VerbalizerError
from softcloze.library import load_template
from softcloze.lint import Finding, check_verbalizer, lint

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
    with pytest.raises(TemplateTypeError):
        lint(np.array([1, 2]), "sentiment/en")


def test_it_imports_nothing_heavy():
    code = f"from softcloze.lint import lint; import sys; lint('{{x}}<mask>'); print(*{{*sys.modules}} & {{*{HEAVY}}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


WORDS = {"good": "great", "bad": "awful"}


@pytest.mark.parametrize("weight", [-1.0, 0, float("nan"), float("inf"), True])
def test_weights_that_no_verbalizer_takes(weight):
    (finding,) = lint("<text> It was <mask>", {"good": {"great": weight}, "bad": "awful"})
    assert (finding.code, finding.severity) == ("verbalizer", "error")
    assert "has weight" in finding.message


@pytest.mark.parametrize("words", [{"good": "great", 1: "awful"}, {None: "great", "bad": "awful"}])
def test_labels_that_no_verbalizer_takes(words):
    assert [finding.code for finding in lint("<text> It was <mask>", words)] == ["verbalizer"]


ARGUMENTS = [
    ({"fields": "text"}, ParameterError, "fields='text', but it has to be a list of names, as in"),
    ({"fields": 5}, ParameterError, "fields=5, but"),
    ({"fields": [1]}, ParameterError, "fields=\\[1\\], but"),
    ({"labels": "good"}, ParameterError, "labels='good', but it has to be a list of labels"),
    ({"labels": [["good"]]}, ParameterError, "labels=.*, but"),
    ({"max_length": "128"}, ParameterError, "max_length='128', but it has to be an integer of at least 1 or None"),
    ({"max_length": 0}, ParameterError, "max_length=0, but"),
    ({"tokenizer": "starter:bert-tiny"}, TokenizerError, "tokenizer='starter:bert-tiny': expected one of transformers"),
    ({"verbalizer": "sentiment/nowhere"}, LibraryError, "no 'sentiment/nowhere' among the library's verbalizers"),
    ({"verbalizer": ["great"]}, TemplateTypeError, "label words map each label to its words, found list"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS, ids=[str(case[0]) for case in ARGUMENTS])
def test_arguments_of_another_type(arguments, error, message):
    with pytest.raises(error, match=message):
        lint("<text> It was <mask>", **{"verbalizer": WORDS, **arguments})


def test_names_of_the_library():
    template = load_template("sentiment/en").template
    assert lint("sentiment/en", "sentiment/en", fields=["review"]) == lint(template, "sentiment/en", fields=["review"])
    checked = check_verbalizer("sentiment/en", borrowed("wordpiece"), "sentiment/en")
    assert checked.labels == ("negative", "positive") and checked.works
    assert check_verbalizer(WORDS, borrowed("wordpiece")) == check_verbalizer(Verbalizer(WORDS), borrowed("wordpiece"))
    with pytest.raises(VerbalizerError, match="verbalizer=None, but"):
        check_verbalizer(None, borrowed("wordpiece"))
