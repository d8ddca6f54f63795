"""Ordered labels by two poles: the binomial distribution, whatever order the labels sort in, and a prompt around it."""

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.base import clone
from support.html_page import Page
from support.models import backbone, borrowed
from support.properties import cases

from softcloze import OrdinalVerbalizer, PromptClassifier, Verbalizer
from softcloze.display import percent
from softcloze.errors import VerbalizerError
from softcloze.lint import check_verbalizer
from softcloze.verbalizer import VERBALIZERS

CHINESE = ["很差", "较差", "一般", "较好", "很好"]  # which sort as 一般, 很好, 很差, 较好, 较差
POLES = {"low": {"差": 1, "坏": 0.5}, "high": ["好", "满意"]}


@given(count=st.integers(2, 12), low=st.floats(-30, 0), high=st.floats(-30, 0), shift=st.floats(-5, 5))
@cases(100)
def test_labels_are_binomial_and_have_one_peak(count, low, high, shift):
    verbalizer = OrdinalVerbalizer(list(range(count)), low="bad", high="good")
    scores = torch.tensor([[low, high]], dtype=torch.float64)
    (found,) = verbalizer.label_scores(scores).softmax(-1).numpy()
    chance = 1 / (1 + np.exp(low - high))
    np.testing.assert_allclose(found, binom.pmf(range(count), count - 1, chance), atol=1e-9)
    peak = found.argmax()
    assert (np.diff(found[: peak + 1]) >= 0).all() and (np.diff(found[peak:]) <= 1e-12).all()
    again = verbalizer.label_scores(scores + shift).softmax(-1).numpy()[0]
    np.testing.assert_allclose(again, found, atol=1e-9)


@pytest.mark.parametrize("aggregation", ["log_mean_prob", "mean_log_prob", "max_log_prob", "log_sum_prob"])
def test_two_labels_are_those_of_a_plain_verbalizer(aggregation):
    plain = Verbalizer({1: POLES["low"], 0: POLES["high"]}, aggregation)
    ordinal = OrdinalVerbalizer([1, 0], **POLES, aggregation=aggregation)
    scores = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert ordinal.all_words == plain.all_words and ordinal.labels == plain.labels
    torch.testing.assert_close(ordinal.label_scores(scores).softmax(-1), plain.label_scores(scores).softmax(-1))


@given(order=st.permutations(CHINESE))
@cases()
def test_the_order_is_that_given_and_the_labels_are_sorted(order):
    verbalizer = OrdinalVerbalizer(order, **POLES)
    assert verbalizer.labels == tuple(sorted(CHINESE)) and verbalizer.order == tuple(order)
    certain = {"差": -9.0, "坏": -9.0, "好": -1.0, "满意": -1.0}
    rows = torch.tensor([[certain[word] for word in verbalizer.all_words]])
    low, high = verbalizer.label_scores(-10 - rows), verbalizer.label_scores(rows)
    assert verbalizer.labels[low.argmax()] == order[0] and verbalizer.labels[high.argmax()] == order[-1]
    (ranked,) = high.argsort(-1, descending=True).tolist()
    assert [verbalizer.labels[i] for i in ranked] == order[::-1]


def test_members_of_a_verbalizer():
    verbalizer = OrdinalVerbalizer(CHINESE, **POLES, length_norm="character")
    assert verbalizer.label_words() == {"很好": ["好", "满意"], "很差": {"差": 1.0, "坏": 0.5}}
    assert verbalizer.all_words == ("好", "满意", "差", "坏") and verbalizer.first_words == ()
    assert verbalizer.lengths([(1,), (2, 3), (4,), (5,)]) == [1, 2, 1, 1]
    with pytest.raises(VerbalizerError, match=r"'满意' has the same tokens .* label '很好'"):
        verbalizer.validate_tokens([(1,), (1,), (4,), (5,)], autoregressive=True)
    assert pickle.loads(pickle.dumps(verbalizer)) == verbalizer
    assert eval(repr(verbalizer), {"OrdinalVerbalizer": OrdinalVerbalizer}) == verbalizer  # noqa: S307
    assert verbalizer != OrdinalVerbalizer(CHINESE[::-1], **POLES, length_norm="character")
    assert verbalizer != Verbalizer(verbalizer.label_words(), length_norm="character")


@pytest.mark.parametrize(
    "verbalizer",
    [
        OrdinalVerbalizer([3, 1, 2], low="bad", high={"good": 2.0}, aggregation="max_log_prob", length_norm="byte"),
        OrdinalVerbalizer(CHINESE, **POLES),
        Verbalizer({1: {"积极": 2, "好": 0.5}, 0: ["消极"]}, "mean_log_prob"),
    ],
)
def test_cards(verbalizer):
    card = {"kind": "x"} | json.loads(json.dumps(verbalizer.to_dict()))
    assert type(verbalizer).from_dict(card) == verbalizer
    assert type(verbalizer) in VERBALIZERS.values()


REFUSED = [
    ([1], {}, "two or more different labels"),
    ([1, 2, 1], {}, "two or more different labels"),
    ("12", {}, "two or more different labels"),
    (5, {}, "two or more different labels in their order, got 5"),
    (np.array(5), {}, "two or more different labels in their order, got array"),
    ([1, "2"], {}, "all be str or all be int"),
    ([1, 2, 3], {"high": []}, "label 3 has no words"),
    ([1, 2, 3], {"high": "bad"}, "'bad' is given for label 3 and, as 'bad', for label 1"),
    ([1, 2, 3], {"length_norm": "line"}, "length_norm='line' is unknown"),
]


@pytest.mark.parametrize(("labels", "changes", "message"), REFUSED)
def test_mistakes(labels, changes, message):
    with pytest.raises(VerbalizerError, match=message):
        OrdinalVerbalizer(labels, **{"low": "bad", "high": "good"} | changes)


TEXTS = ["bad bad bad", "bad", "good bad", "good", "good good good"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # a model that knows nothing
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_soft_vectors_are_trained_through_it_and_saved(name, tmp_path):
    verbalizer = OrdinalVerbalizer(CHINESE, low="bad", high="good")
    clf = PromptClassifier(backbone(name), "<soft*3> <text> It was <mask>", verbalizer, random_state=0)
    clf = clone(clf.set_params(epochs=30, learning_rate=0.5, training__target_loss=0)).fit(TEXTS, CHINESE)
    assert clf.classes_.tolist() == sorted(CHINESE)
    assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]
    clf.save(tmp_path / "stars")
    again = PromptClassifier.load(tmp_path / "stars", model=backbone(name))
    assert again.prompt_.verbalizer == verbalizer
    np.testing.assert_array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_an_explanation_names_all_labels_and_the_words_of_two():
    verbalizer = OrdinalVerbalizer(CHINESE, low=["bad", "差"], high="good")
    clf = PromptClassifier(backbone("bert"), "<text> It was <mask>", verbalizer)
    explanation = clf.explain("good 好")
    np.testing.assert_allclose(explanation.probabilities, clf.predict_proba(["good 好"])[0], atol=1e-6)
    assert [word.label for word in explanation.words] == ["很好", "很差", "很差"]
    assert explanation.words[0].share == pytest.approx(1)
    bad = explanation.words[1:]
    odds = np.exp([word.log_probability for word in bad])
    np.testing.assert_allclose([word.share for word in bad], odds / odds.sum(), rtol=1e-5)
    lines = Page(explanation._repr_html_()).lines
    for label, probability in zip(explanation.labels, explanation.probabilities, strict=True):
        assert any(line.startswith(f"| {label} {percent(probability)}|") for line in lines)


@pytest.mark.parametrize("template", ["<options> <text> <mask>", "<demos*2><text> <mask>"])
def test_templates_that_show_a_word_for_each_label_raise(template):
    clf = PromptClassifier(backbone("llama"), template, OrdinalVerbalizer(CHINESE, low="bad", high="good"))
    with pytest.raises(VerbalizerError, match="shows a word for each label, and OrdinalVerbalizer"):
        clf.fit(TEXTS, CHINESE)


def test_a_head_that_starts_from_a_word_for_each_label_raises():
    words = OrdinalVerbalizer(CHINESE, low="bad", high="good")
    with pytest.raises(VerbalizerError, match="head='warp' takes a word for each label"):
        PromptClassifier(backbone("bert"), "<text> <mask>", words, head="warp").fit(TEXTS, CHINESE)


def test_checks_know_it():
    verbalizer = OrdinalVerbalizer([1, 2, 3], low="bad", high="bad good")
    checked = check_verbalizer(verbalizer, borrowed("gpt2"))
    assert checked.labels == (1, 2, 3) and [word.label for word in checked.words] == [1, 3]
    assert {finding.code for finding in checked.findings} >= {"word-in-word", "uneven-tokens"}
    checked = PromptClassifier(backbone("bert"), "<text> <mask>", OrdinalVerbalizer(CHINESE, "bad", "good")).check()
    assert len(checked.priors) == 5 and sum(checked.priors) == pytest.approx(1)
    assert "一般" in str(checked)


@pytest.fixture
def rate(smollm2):
    stars = OrdinalVerbalizer([1, 2, 3, 4, 5], low="terrible", high="great")
    return PromptClassifier(smollm2, "Review: <text> In short, the movie is <mask>", stars)


def test_stars_of_a_real_model(rate):
    worst, middling, best = rate.predict_proba(
        [
            "An awful, boring mess without a single good idea.",
            "Some good scenes, but too long and sometimes boring.",
            "A moving masterpiece, brilliantly acted.",
        ]
    ) @ np.arange(1, 6)
    assert worst < middling < best


def test_chinese_stars_of_a_real_model(gemma3):
    verbalizer = OrdinalVerbalizer(CHINESE, low="失望", high="满意")
    clf = PromptClassifier(gemma3, "<text> 总之，很<mask>", verbalizer)
    rank = np.array([CHINESE.index(label) for label in verbalizer.labels])
    worst, best = (
        clf.predict_proba(["质量太差了，用了两天就坏了，客服也不理人。", "质量很好，物流也快，下次还会再买。"]) @ rank
    )
    assert worst < best
