"""Classifiers whose template has chat turns: fitted, saved, loaded, and bound to one chat template."""

import json

import numpy as np
import pytest
import torch
from support import chat_templates, models
from support.chat_templates import chat_backbone as backbone

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble, PromptSet
from softcloze.backbone import Backbone
from softcloze.errors import ArtifactError, ParameterError, TokenizerError
from softcloze.label_words import refine_words
from softcloze.lint import lint
from softcloze.prompt.card import CARD

ASKED = "<chat:system>Sort.<chat:user><soft*2> <text> Good?<chat:assistant>It is <mask>"
HARD = ASKED.replace("<soft*2> ", "")
WORDS = {"good": "good", "bad": "bad"}
TEXTS = ["It was good.", "It was bad.", "A delight.", "A dull film."]
LABELS = ["good", "bad", "good", "bad"]


def classifier(template=ASKED, name="chatml", **parameters):
    return PromptClassifier(backbone(name), template, WORDS, epochs=1, random_state=0, **parameters)


def test_a_fitted_chat_prompt_is_saved_and_loaded_bit_for_bit(tmp_path):
    options = {"date": "2026-07-26", "enable_thinking": True}
    clf = classifier(name="thinking", chat_options=options).fit(TEXTS, LABELS)
    clf.save(tmp_path / "p")
    card = json.loads((tmp_path / "p" / CARD).read_text())
    assert (card["template"], card["chat_options"]) == (ASKED, options)
    again = PromptClassifier.load(tmp_path / "p", backbone("thinking"))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert again.chat_options == options
    with pytest.raises(ParameterError, match="chat_options=None is not that of the saved prompt"):
        PromptClassifier.load(tmp_path / "p", backbone("thinking"), chat_options=None)


def test_scores_are_those_of_the_model_after_the_rendered_conversation():
    made = backbone()
    scores = classifier(HARD).predict_log_proba(TEXTS)
    for text, row in zip(TEXTS, scores, strict=True):
        messages = [
            {"role": "system", "content": "Sort."},
            {"role": "user", "content": f"{text} Good?"},
            {"role": "assistant", "content": "It is"},
        ]
        logs = []
        for word in sorted(WORDS):
            begun = chat_templates.expected(made.tokenizer, "chatml", messages)
            messages[-1]["content"] = f"It is {word}"
            whole = chat_templates.expected(made.tokenizer, "chatml", messages)
            messages[-1]["content"] = "It is"
            assert whole[: len(begun)] == begun
            with torch.no_grad():
                log_probs = models.logits_of(made.model, whole).log_softmax(-1)
            logs.append(sum(float(log_probs[at - 1, whole[at]]) for at in range(len(begun), len(whole))))
        np.testing.assert_allclose(row, np.array(logs) - np.logaddexp(*logs), atol=1e-4)


def test_the_options_change_the_prompt_and_the_score():
    on, off = (
        classifier(HARD, "thinking", chat_options={"date": "2026-07-26", **options}).predict_proba(TEXTS)
        for options in ({"enable_thinking": True}, {})
    )
    assert np.abs(on - off).max() > 1e-6


def test_a_missing_date_raises_before_training():
    with pytest.raises(ParameterError, match=r'as in chat_options=\{"date": "2026-07-26"\}'):
        classifier(name="thinking").fit(TEXTS, LABELS)


def test_a_model_without_a_chat_template():
    clf = PromptClassifier(models.backbone("gpt2"), HARD, WORDS)
    with pytest.raises(TokenizerError, match="has no chat template"):
        clf.predict(TEXTS)
    findings = lint(HARD, WORDS, tokenizer=models.backbone("gpt2").tokenizer)
    assert [finding.code for finding in findings if finding.severity == "error"] == ["chat-template"]


def test_a_saved_prompt_belongs_to_one_chat_template_if_it_has_chat_turns(tmp_path):
    other = Backbone(backbone().model, chat_templates.tokenizer("gpt2", chat_templates.JOINED), "chatty")
    clf = classifier(HARD)
    clf.save(tmp_path / "chat")
    with pytest.raises(ArtifactError, match="this prompt belongs to another chat template"):
        PromptClassifier.load(tmp_path / "chat", other)
    plain = classifier("<text> It was <mask>")
    plain.save(tmp_path / "plain")
    loaded = PromptClassifier.load(tmp_path / "plain", other)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), plain.predict_proba(TEXTS))


@pytest.mark.parametrize(
    "edits",
    [{"chat_options": {"nothing": 1}}, {"chat_options": {"tokenize": True}}, {"chat_options": {"date": "x"}}],
    ids=str,
)
def test_a_card_with_options_that_the_chat_template_does_not_take(tmp_path, edits):
    from hashlib import sha256

    classifier(HARD, "thinking", chat_options={"date": "2026-07-26"}).save(tmp_path / "p")
    card = json.loads((tmp_path / "p" / CARD).read_text()) | edits
    del card["card_sha256"]
    card["card_sha256"] = sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    (tmp_path / "p" / CARD).write_text(json.dumps(card))
    with pytest.raises(ArtifactError, match=r"chat_options|no variable of this name|has to be a date"):
        PromptClassifier.load(tmp_path / "p", backbone("thinking"))


def test_demonstrations_calibration_and_a_head_in_chat_turns(tmp_path):
    demos = classifier("<demos*2>" + HARD.removeprefix("<chat:system>Sort."), calibration="contextual")
    demos.fit(TEXTS, LABELS).save(tmp_path / "p")
    again = PromptClassifier.load(tmp_path / "p", backbone())
    np.testing.assert_array_equal(again.predict_proba(TEXTS), demos.predict_proba(TEXTS))
    assert classifier(HARD, head="linear").fit(TEXTS, LABELS).predict(TEXTS).shape == (4,)
    assert classifier(HARD, calibration="pmi").fit(TEXTS, LABELS).predict(TEXTS).shape == (4,)


def test_ensembles_sets_and_several_labels_take_chat_turns():
    members = [classifier(HARD), classifier("<text> It was <mask>")]
    expected = np.mean([member.predict_proba(TEXTS) for member in members], axis=0)
    np.testing.assert_allclose(PromptEnsemble(members).predict_proba(TEXTS), expected, atol=1e-6)
    fitted = [classifier(HARD, calibration="batch").fit(TEXTS, LABELS) for _ in range(2)]
    together = PromptSet([clf.prompt_ for clf in fitted], backbone()).predict_proba(TEXTS)
    np.testing.assert_allclose(together[1], fitted[1].predict_proba(TEXTS), atol=1e-6)
    several = MultiLabelPromptClassifier(backbone(), HARD, WORDS, random_state=0)
    assert several.fit(TEXTS, [["good"], ["bad"], ["good", "bad"], []]).predict(TEXTS).shape == (4, 2)


def test_label_words_are_refined_and_checked_in_chat_turns():
    words = {"good": ["good", "great"], "bad": ["bad", "dull"]}
    options = {"date_string": "26 Jul 2026"}
    refined = refine_words(backbone("dated"), HARD, words, TEXTS, chat_options=options)
    assert refined.labels == ("bad", "good")
    checked = classifier(HARD, "dated", chat_options=options).check()
    assert checked.works and checked.priors is not None
