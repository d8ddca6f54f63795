"""Multiple choice: words that differ from example to example, against plain transformers, one example at a time."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from support import models
from support.reference_scores import filled_score

from softcloze import (
    AutoPromptClassifier,
    FieldVerbalizer,
    MultiLabelPromptClassifier,
    PromptClassifier,
    PromptEnsemble,
    predict_stream,
)
from softcloze.analysis import inspect_soft
from softcloze.errors import DataError, FieldError, ParameterError, TemplateSyntaxError, VerbalizerError
from softcloze.prompt import Prompt
from softcloze.template import Template

ROWS = [
    {"text": "The film is a", "choices": ["good", "terrible story"]},
    {"text": "I liked the music", "choices": ["bad", "good", "very long film"]},
    {"text": "这部电影", "choices": ("很好", "很差，太无聊了", "great", "7")},
    {"text": "It was", "choices": np.array(["a delight", "dull"], dtype=object)},
]
MOST = 4
CAUSAL = ("gpt2", "llama", "gemma3_text")
MASKED = ("bert", "roberta", "deberta-v2")


def classifier(architecture, source="<soft*2> <text>, it is <mask>", verbalizer=None, **more):
    given = verbalizer if verbalizer is not None else FieldVerbalizer("choices", MOST)
    return PromptClassifier(models.backbone(architecture), source, given, random_state=0, **more)


def reference(fitted, row):
    """Log-probabilities of the row's choices over the whole vocabulary by plain transformers; shape (choices,)."""
    bound = fitted._bound_prompt()
    backbone, verbalizer = bound.backbone, bound.prompt.verbalizer
    (prompt,) = bound.encode([row])
    words = [bound.compiled.template.word_ids(str(choice)) for choice in row["choices"]]
    assert list(prompt.choices) == words
    soft = bound.parts.soft.weight.detach() if bound.parts.soft is not None else None
    with torch.no_grad():
        if backbone.family == "masked":
            scores = torch.stack([filled_score(backbone, prompt, word, verbalizer.decoding, soft) for word in words])
        else:
            scores = models.word_scores(backbone.model, prompt, words, soft)
    sizes = {"none": 1.0, "character": torch.tensor([len(str(c)) for c in row["choices"]])}[verbalizer.length_norm]
    return scores / sizes


@pytest.mark.parametrize("architecture", [*CAUSAL, *MASKED])
@pytest.mark.parametrize("norm", ["none", "character"])
def test_probabilities_are_those_of_plain_transformers(architecture, norm):
    verbalizer = FieldVerbalizer("choices", MOST, length_norm=norm)
    source = "Choose: <options field=choices>. <text>, it is <mask>" + ("." if architecture in MASKED else "")
    hard = classifier(architecture, source, verbalizer)
    probabilities = torch.from_numpy(hard.predict_proba(ROWS))
    assert probabilities.shape == (len(ROWS), MOST)
    for row, found in zip(ROWS, probabilities, strict=True):
        expected = reference(hard, row).double().softmax(-1)
        torch.testing.assert_close(found[: len(expected)], expected, atol=1e-4, rtol=1e-4)
        assert not found[len(expected) :].any()
    assert hard.predict(ROWS).tolist() == probabilities.argmax(-1).tolist()


def test_text_after_the_mask_of_a_causal_model_and_left_to_right_of_a_masked_one():
    after = classifier("gpt2", "<text>, it is <mask>, I think.")
    ordered = classifier("bert", "<text>, it is <mask>.", FieldVerbalizer("choices", MOST, decoding="left_to_right"))
    for fitted in (after, ordered):
        for row, found in zip(ROWS, torch.from_numpy(fitted.predict_proba(ROWS)), strict=True):
            expected = reference(fitted, row).double().softmax(-1)
            torch.testing.assert_close(found[: len(expected)], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "bert", "t5"])
def test_a_soft_prompt_learns_from_them(architecture, tmp_path):
    answers = [0, 2, 1, 1]
    tail = "." if architecture != "llama" else ""
    soft = classifier(architecture, "<soft*2> <text>, it is <mask>" + tail, epochs=30, learning_rate=0.3)
    before = clone(soft).set_params(epochs=1, learning_rate=1e-9).fit(ROWS, answers)
    soft.fit(ROWS, answers)
    right = np.arange(len(ROWS)), answers
    assert np.log(soft.predict_proba(ROWS)[right]).mean() > np.log(before.predict_proba(ROWS)[right]).mean() + 0.3
    if architecture != "t5":
        for row, found in zip(ROWS, torch.from_numpy(soft.predict_proba(ROWS)), strict=True):
            expected = reference(soft, row).double().softmax(-1)
            torch.testing.assert_close(found[: len(expected)], expected, atol=1e-4, rtol=1e-4)
    soft.save(tmp_path / "prompt")
    again = PromptClassifier.load(tmp_path / "prompt", soft.backbone_)
    assert np.array_equal(again.predict_proba(ROWS), soft.predict_proba(ROWS))
    assert Prompt.load(tmp_path / "prompt").verbalizer == FieldVerbalizer("choices", MOST)


def test_the_words_themselves_as_labels():
    by_index = classifier("bert", "<text>, it is <mask>.")
    by_word = classifier("bert", "<text>, it is <mask>.", FieldVerbalizer("choices", MOST, answers="word"))
    indices, words = by_index.predict(ROWS), by_word.predict(ROWS)
    assert words.tolist() == [row["choices"][i] for row, i in zip(ROWS, indices, strict=True)]
    assert by_word.score(ROWS, words) == by_index.score(ROWS, indices) == 1.0
    assert [prediction.label for prediction in predict_stream(by_word, ROWS)] == words.tolist()
    assert [prediction.label for prediction in predict_stream(by_index, ROWS)] == indices.tolist()
    trained = classifier("bert", "<soft> <text> <mask>.", FieldVerbalizer("choices", MOST, answers="word"), epochs=1)
    same = classifier("bert", "<soft> <text> <mask>.", epochs=1)
    one, two = trained.fit(ROWS, words), same.fit(ROWS, indices)
    assert torch.equal(one.prompt_.vectors["#1"], two.prompt_.vectors["#1"])


def ensemble(answers, **more):
    choices = FieldVerbalizer("choices", MOST, answers=answers)
    sources = ("<soft> <text> <mask>.", "<soft> <text>, it is <mask>.")
    return PromptEnsemble([classifier("bert", source, choices, epochs=1) for source in sources], **more)


def test_an_ensemble_answers_as_its_members(tmp_path):
    by_index, by_word, indices = ensemble("index"), ensemble("word"), [0, 1, 3, 0]
    words = [row["choices"][choice] for row, choice in zip(ROWS, indices, strict=True)]
    by_index.fit(ROWS, indices)
    by_word.fit(ROWS, words)
    assert (by_word.predict_proba(ROWS) == by_index.predict_proba(ROWS)).all()
    best = by_index.predict(ROWS)
    assert by_word.predict(ROWS).tolist() == [row["choices"][i] for row, i in zip(ROWS, best, strict=True)]
    assert by_word.score(ROWS, words) == by_index.score(ROWS, indices) == (best == indices).mean()
    by_word.save(tmp_path / "saved")
    loaded = PromptEnsemble.load(tmp_path / "saved", models.backbone("bert"))
    for fitted in (by_word, loaded, by_index):
        assert [prediction.label for prediction in predict_stream(fitted, ROWS)] == fitted.predict(ROWS).tolist()


def test_weights_and_self_training_take_the_choices_themselves():
    rows, indices = [*ROWS[:2]] * 3, [0, 1] * 3
    words = [row["choices"][choice] for row, choice in zip(rows, indices, strict=True)]
    by_index, by_word = (
        ensemble(answers, weights="development", cv=3, random_state=0) for answers in ("index", "word")
    )
    by_index.self_train(rows, indices, ROWS, generations=1)
    by_word.self_train(rows, words, ROWS, generations=1)
    assert by_word.combination_ == by_index.combination_
    assert (by_word.predict_proba(ROWS) == by_index.predict_proba(ROWS)).all()


def test_members_with_other_answers_do_not_make_an_ensemble():
    one, other = (
        classifier("bert", "<text> <mask>.", FieldVerbalizer("choices", MOST, answers=answers))
        for answers in ("index", "word")
    )
    with pytest.raises(DataError, match=r"member 1 has FieldVerbalizer.*answers='word'.*have the same answers"):
        PromptEnsemble([one, other]).predict(ROWS)
    plain = classifier("bert", "<text> <mask>.", {0: "good", 1: "bad", 2: "film", 3: "music"})
    with pytest.raises(DataError, match="member 1 has labels that all examples share"):
        PromptEnsemble([one, plain]).fit(ROWS, [0, 1, 0, 1])


def test_what_else_takes_them():
    """Initial vectors from choices, probabilities of a teacher, an ensemble, and the vectors looked at."""
    soft = classifier("llama", "<soft*2> <text> <mask>", epochs=1, soft_init="labels").fit(ROWS, [0, 2, 1, 1])
    taught = classifier("llama", "<soft*2> <text> <mask>", epochs=1, soft_init="labels")
    taught.fit_probabilities(ROWS, np.eye(MOST)[[0, 2, 1, 1]])
    assert torch.allclose(taught.prompt_.vectors["#1"], soft.prompt_.vectors["#1"])
    several = PromptEnsemble([soft, taught]).fit(ROWS, [0, 2, 1, 1])
    assert several.predict_proba(ROWS).shape == (len(ROWS), MOST) and not several.predict_proba(ROWS)[0, 2:].any()
    assert [vector.start for vector in inspect_soft(soft).vectors] == [None, None]


def test_frames_and_rows_alone():
    hard = classifier("gpt2", "<options field=choices> <text>, it is <mask>")
    together = hard.predict_proba(ROWS)
    assert np.allclose(hard.predict_proba(pd.DataFrame(ROWS)), together, atol=1e-6)
    alone = np.concatenate([hard.predict_proba([row]) for row in ROWS])
    assert np.allclose(alone, together, atol=1e-6)


# -- mistakes --


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ("good", "must be a list of texts, found str"),
        (["good"], "has 1 items; expected two or more"),
        (["good", None], "item 1 is None"),
        (["good", " "], "item 1, is blank"),
        (["good", ["bad"]], "must be text or a number, found list"),
        (["a", "b", "c", "d", "e"], r"has 5 choices, .* most=5"),
    ],
)
@pytest.mark.parametrize("source", ["<text> <mask>", "<options field=choices> <text> <mask>"])
def test_choices_that_are_none(choices, problem, source):
    with pytest.raises(FieldError, match=f"row 1: field 'choices'.*{problem}|row 1: field 'choices', {problem}"):
        classifier("gpt2", source).predict([ROWS[0], {"text": "a", "choices": choices}])


def test_a_row_without_the_field():
    with pytest.raises(FieldError, match=r"row 1.*choices"):
        classifier("gpt2", "<text> <mask>").predict([ROWS[0], {"text": "a"}])
    with pytest.raises(FieldError, match="row 0: expected a mapping"):
        classifier("gpt2", "<text> <mask>").predict(["a", "b"])


@pytest.mark.parametrize(
    ("answers", "labels", "problem"),
    [
        ("index", [0, 0, 0, 2], "row 3 has the label 2, which is not the index of a choice"),
        ("word", ["good", "good", "很好", "bad"], "row 3 has the label 'bad', which is not among its choices"),
        ("word", [0, 1, 0, 1], "row 0 has the label 0, which is not among"),
    ],
)
def test_labels_that_are_no_choice(answers, labels, problem):
    given = classifier("gpt2", "<soft> <text> <mask>", FieldVerbalizer("choices", MOST, answers=answers))
    with pytest.raises(DataError, match=problem):
        given.fit(ROWS, labels)


@pytest.mark.parametrize(
    ("source", "more", "error", "problem"),
    [
        ("<options> <text> <mask>", {}, VerbalizerError, "shows a word for each label"),
        ("<demos> <text> <mask>", {}, VerbalizerError, "same words for every example"),
        ("<text> <mask name=a> <mask name=b>", {}, VerbalizerError, "one mask"),
        ("<text> <mask>", {"head": "linear"}, ParameterError, "head='linear' learns fixed labels"),
        ("<text> <mask>", {"calibration": "batch"}, ParameterError, "calibration='batch'"),
    ],
)
def test_what_needs_labels_with_the_same_words(source, more, error, problem):
    with pytest.raises(error, match=problem):
        classifier("bert", source, **more).fit(ROWS, [0, 0, 1, 1])


def test_what_shows_words_of_all_examples():
    hard = classifier("bert", "<text> <mask>")
    with pytest.raises(ParameterError, match="other words for each example"):
        hard.explain(ROWS[0])
    with pytest.raises(VerbalizerError, match="no words to check"):
        hard.check()
    choices = FieldVerbalizer("choices", MOST)
    with pytest.raises(ParameterError, match="words that all examples share"):
        AutoPromptClassifier(models.backbone("bert"), verbalizer=choices).fit(ROWS, [0, 0, 1, 1])
    with pytest.raises(DataError, match="words that all examples share"):
        MultiLabelPromptClassifier(models.backbone("bert"), "<text> <mask>", choices).fit(ROWS, [[0], [1], [0], []])


@pytest.mark.parametrize(
    "given",
    [
        *({"field": field} for field in ("", "two words", None, 3)),
        *({"most": most} for most in (1, True, "4", 2.0, 10**9)),
        *({name: value} for name in ("answers", "length_norm", "decoding") for value in ("", None, "most_confident")),
    ],
)
def test_settings_of_the_verbalizer(given):
    (name,) = given
    with pytest.raises(VerbalizerError, match=name):
        FieldVerbalizer(**{"field": "choices", "most": 4, **given})


def test_a_list_is_shown_by_its_own_tag_alone():
    template = Template('<options field=choices sep=" / "> <text> <mask>')
    assert Template(str(template)) == template and template.fields == ("choices", "text")
    assert str(template) == '<options sep=" / " field=choices> <text> <mask>'
    with pytest.raises(TemplateSyntaxError, match="cannot show"):
        Template("<options field=text> <text> <mask>")
    with pytest.raises(TemplateSyntaxError, match="join"):
        Template("<options field=choices> {{ text }} <mask>")
    written = classifier("gpt2", "{{ choices | join(', ') }} <text>, it is <mask>")
    shown = classifier("gpt2", "<options field=choices> <text>, it is <mask>")
    rows = [{**row, "choices": list(row["choices"])} for row in ROWS]
    assert np.allclose(written.predict_proba(rows), shown.predict_proba(rows), atol=1e-6)


def test_a_row_is_cut_by_its_own_choices_whatever_the_others_are():
    backbone = models.backbone("llama")
    clf = PromptClassifier(backbone, "<text> It was <mask>", FieldVerbalizer("choices", most=2), max_length=40)
    text = " ".join(models.SENTENCES[:4])
    short = {"text": text, "choices": ["good", "bad"]}
    long = {"text": text, "choices": ["good", "a story that was bad from the first scene to the last"]}
    np.testing.assert_allclose(clf.predict_proba([short, long])[0], clf.predict_proba([short])[0], atol=1e-6)
    (one, other), (alone,) = clf._bound_prompt().encode([short, long]), clf._bound_prompt().encode([short])
    assert one.cut == alone.cut and other.cut["text"] > one.cut["text"]
