"""The report on label words: tokens, priors on content-free input, and warnings."""

import io

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from sklearn.exceptions import NotFittedError
from support.html_page import Page
from support.models import TOKENIZERS, backbone, borrowed

from softcloze import PromptClassifier, RuleVerbalizer, Template, Verbalizer
from softcloze.analysis import Explanation, WordShare
from softcloze.calibration.content_free import CONTENT_FREE
from softcloze.encoding import PromptTokenizer
from softcloze.lint import CheckedWord, VerbalizerCheck, check_verbalizer, lint, with_priors

WORDS = {"好": ["good", "very good"], "差": {"bad": 2, "好": 0.5}}


def codes(checked):
    return [(finding.code, finding.severity) for finding in checked.findings]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokens_and_findings_are_those_of_the_template(kind):
    """The words in the order of the labels, spelt by their own tokenizer, and the findings of `lint`."""
    tokenizer, template = borrowed(kind), Template("<text> It was <mask>")
    checked = check_verbalizer(Verbalizer(WORDS), tokenizer, template)
    assert [(word.label, word.word, word.weight) for word in checked.words] == [
        ("好", "good", 1.0),
        ("好", "very good", 1.0),
        ("差", "bad", 2.0),
        ("差", "好", 0.5),
    ]
    assert list(checked.findings) == lint(template, Verbalizer(WORDS), tokenizer=tokenizer)
    whole = tokenizer("It was good", add_special_tokens=False).input_ids
    before = tokenizer("It was", add_special_tokens=False).input_ids
    assert len(checked.words[0].tokens) == len(whole) - len(before)
    assert checked.priors is None and all(word.prior is None for word in checked.words)
    assert check_verbalizer(Verbalizer(WORDS), tokenizer, str(template)) == checked


def test_words_that_cannot_be_encoded_have_no_tokens():
    checked = check_verbalizer(Verbalizer({"a": "䨺", "b": "好", "c": "不好", "d": "差"}), borrowed("wordpiece"))
    assert [word.tokens for word in checked.words] == [(), ("好",), ("不", "好"), ("差",)]
    assert ("word-tokens", "error") in codes(checked) and not checked.works
    checked = check_verbalizer(Verbalizer({"a": "good", "b": "Good"}), borrowed("wordpiece"))
    assert [word.tokens for word in checked.words] == [("good",), ("good",)]
    assert codes(checked) == [("same-tokens", "error")] and not checked.works
    checked = check_verbalizer(Verbalizer({"a": "bad", "b": "good"}), borrowed("gpt2"), "<cls> <text> <mask>")
    assert [word.tokens for word in checked.words] == [(), ()]
    assert codes(checked) == [("no-special-token", "error")]


def test_words_may_stand_without_a_space():
    words = Verbalizer({"a": "很好", "b": "差"})
    spaced, close = (check_verbalizer(words, borrowed("gpt2"), t) for t in ("<text> <mask>", "<text> 总之，<mask>"))
    assert "".join(spaced.words[0].tokens)[0] == "␣" and "".join(close.words[0].tokens)[0] != "␣"


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_priors_are_the_predictions_for_content_free_texts(name):
    words = {"a": ["good", "很好"], "b": "bad", "c": "好"}
    clf = PromptClassifier(backbone(name), "<text> It was <mask>", words)
    checked = clf.check()
    rows = list(CONTENT_FREE)
    np.testing.assert_allclose(checked.priors, clf.predict_proba(rows).mean(0), atol=1e-6)
    for at, word in enumerate(checked.words):
        known = [clf.explain(row).words[at].probability for row in rows]
        assert word.prior == pytest.approx(np.mean(known), rel=1e-6)
    contextual = PromptClassifier(backbone(name), "<text> It was <mask>", words, calibration="contextual")
    contextual.fit(["x"] * 3, ["a", "b", "c"])
    np.testing.assert_allclose(checked.priors, np.exp(contextual.prompt_.calibration.bias), atol=1e-6)
    # a calibration corrects what the warning warns of, and changes nothing of what the model says
    assert contextual.check().priors == pytest.approx(checked.priors, abs=1e-6)
    assert ("one-sided", "warning") not in codes(contextual.check())


def test_no_model_is_asked_about_words_that_do_not_work():
    checked = PromptClassifier(backbone("bert"), "<text> <mask>", {"a": "good", "b": "Good"}).check()
    assert checked.priors is None and codes(checked) == [("same-tokens", "error")]


def test_check_after_fit():
    with pytest.raises(NotFittedError, match="not trained yet"):
        PromptClassifier(backbone("bert"), "<soft> <text> <mask>", {"a": "good", "b": "bad"}).check()
    clf = PromptClassifier(backbone("llama"), "<soft*2> <text> 很<mask>", {"a": "好", "b": "差"}, random_state=0)
    clf.set_params(epochs=20, learning_rate=0.5, training__target_loss=0)
    checked = clf.fit(["好好", "差差"], ["a", "b"]).check()
    np.testing.assert_allclose(checked.priors, clf.predict_proba(list(CONTENT_FREE)).mean(0), atol=1e-6)
    shown = PromptClassifier(backbone("llama"), "<demos*1><text> 很<mask>", {"a": "好", "b": "差"}, random_state=0)
    checked = shown.fit(["好好", "差差"], ["a", "b"]).check()
    np.testing.assert_allclose(checked.priors, shown.predict_proba(list(CONTENT_FREE)).mean(0), atol=1e-6)


def test_rules():
    """Words for several masks have tokens as well; how likely they are together is another question."""
    rules = RuleVerbalizer({"a": {"x": "good", "y": "好"}, "b": {"x": ["good", "bad"], "y": "差"}})
    clf = PromptClassifier(backbone("bert"), "<text> It was <mask name=x>, <mask name=y>", rules)
    checked = clf.check()
    assert [(word.label, word.mask, word.word) for word in checked.words] == [
        ("a", "x", "good"),
        ("a", "y", "好"),
        ("b", "x", "good"),
        ("b", "x", "bad"),
        ("b", "y", "差"),
    ]
    assert all(word.tokens for word in checked.words) and checked.priors is None
    assert "  mask  " in str(checked)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the model knows nothing
@pytest.mark.parametrize("head", ["warp", "linear"])
def test_a_head_decides_without_label_words(head):
    clf = PromptClassifier(backbone("bert"), "<text> <mask>", {"a": "good", "b": "bad"}, head=head, random_state=0)
    clf.set_params(epochs=20, training__target_loss=0)
    assert clf.fit(["good good", "bad", "good", "bad bad"], ["a", "b", "a", "b"]).check().priors is None


def asked(priors):
    """Checked label words, for which a model gives these probabilities."""
    labels = tuple(range(len(priors)))
    words = tuple(CheckedWord(label, f"w{label}", 1.0, (f"w{label}",)) for label in labels)
    shares = tuple(WordShare(label, f"w{label}", (f"w{label}",), -1.0, 0.0, 1.0) for label in labels)
    said = Explanation(labels, tuple(priors), shares, (), mass=0.5)
    return with_priors(VerbalizerCheck(labels, words, ()), Template("<text> <mask>"), [said], calibrated=False)


@pytest.mark.parametrize(
    ("priors", "warned"),
    [
        ((0.7, 0.3), False),
        ((0.76, 0.24), True),
        ((0.0, 1.0), True),
        ((0.42, 0.2, 0.18, 0.1, 0.1), False),  # of five labels, three times the odds of chance is 0.43
        ((0.44, 0.2, 0.16, 0.1, 0.1), True),
    ],
)
def test_when_a_label_wins(priors, warned):
    assert codes(asked(priors)) == [("one-sided", "warning")] * warned


def test_priors_of_a_real_model(smollm2):
    """The template of docs/measurements/calibration.md near chance without a calibration, and the least biased one."""
    checked = PromptClassifier(smollm2, "Review: <text>\nRating: <mask>", "sentiment/en").check()
    assert "label 'negative' wins on content-free input with probability 0.80" in checked.findings[0].message
    checked = PromptClassifier(smollm2, "Movie review: <text>\nSentiment: <mask>", "sentiment/en").check()
    assert checked.findings == ()


HOSTILE = Verbalizer({"[red]a&": ["<b>", "x"], "</pre>\u202e": "\x1b[31m"})
SHOWN = VerbalizerCheck(
    HOSTILE.labels,
    (
        CheckedWord("</pre>\u202e", "\x1b[31m", 1.0, ("⟨U+001B⟩", "[31m"), 0.25),
        CheckedWord("[red]a&", "<b>", 2.0, ("<", "b>"), 0.00001),
        CheckedWord("[red]a&", "好", 1.0, (), 0.5),
    ),
    tuple(lint("<text> {a} <mask>", HOSTILE, fields=["text", "a"])),
    (0.125, 0.875),
)
TABLE = """
  label             prior   word           weight   tokens          prior of the word
 ─────────────────────────────────────────────────────────────────────────────────────
  </pre>⟨U+202E⟩   12.50%   ⟨U+001B⟩[31m        1   ⟨U+001B⟩ [31m              25.00%
  [red]a&          87.50%   <b>                 2   < b>                       <0.01%
                            好                  1                              50.00%
"""


def test_the_table_as_text():
    shown = str(SHOWN)
    assert shown.startswith(TABLE)
    assert "write <a>, or \\{a} to keep the text (forgotten-tag)\n  at line 1, column 8:\n" in shown
    console = Console(file=io.StringIO(), width=120)
    console.print(SHOWN)
    assert [line.rstrip() for line in console.file.getvalue().splitlines()] == shown.splitlines()
    console = Console(file=io.StringIO(), width=64)
    console.print(SHOWN)
    assert max(cell_len(line) for line in console.file.getvalue().splitlines()[:10]) <= 64


def test_the_table_as_html():
    html = SHOWN._repr_html_()
    page = Page(html)
    assert page.tags == {"div", "style", "table", "thead", "tbody", "tr", "th", "td", "pre"}
    assert page.attributes == {"class", "lang"}
    assert "| </pre>⟨U+202E⟩| 12.50%| ⟨U+001B⟩[31m| 1| ⟨U+001B⟩ [31m| 25.00%" in page.lines
    assert "| | | 好| 1| | 50.00%" in page.lines
    assert html.count("<pre>") == len(SHOWN.findings) and "http" not in html
    empty = check_verbalizer(
        Verbalizer({"a": "good", "b": "bad"}),
        PromptTokenizer(borrowed("gpt2"), masked=False),
        Template("<text> <mask>"),
    )
    assert "nothing found" in empty._repr_html_() and "<pre>" not in empty._repr_html_()
