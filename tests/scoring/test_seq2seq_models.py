"""The classifier on models with an encoder and a decoder."""

import json

import numpy as np
import pytest
import torch
from support import models
from typer.testing import CliRunner

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptSet, RuleVerbalizer, Verbalizer
from softcloze.cli import app
from softcloze.training import TrainingSettings

# models of random weights learn little
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TEXTS = models.SENTENCES[:8]
LABELS = ["pos", "neg"] * 4
WORDS = {"pos": ["good", "great"], "neg": ["bad", "really bad"]}


@pytest.fixture(params=["t5", "bart"])
def architecture(request):
    """A model with sentinels, and one whose decoder repeats the text."""
    return request.param


def classifier(architecture, template="<soft*4> <text> It was <mask>.", words=WORDS, **parameters):
    backbone = models.backbone(architecture) if isinstance(architecture, str) else architecture
    training = TrainingSettings(target_loss=0.0)
    clf = PromptClassifier(backbone, template, words, random_state=0, epochs=2, training=training)
    return clf.set_params(**parameters)


def test_fit_moves_the_soft_vectors_and_nothing_else(architecture):
    backbone = models.new_backbone(architecture)
    backbone.model.train()
    before = {name: weight.clone() for name, weight in backbone.model.state_dict().items()}
    start = classifier(backbone, learning_rate=1e-9).fit(TEXTS, LABELS)
    fitted = classifier(backbone).fit(TEXTS, LABELS)
    assert fitted.history_[-1]["loss"] < start.history_[-1]["loss"]
    for vectors, first in zip(fitted.prompt_.vectors.values(), start.prompt_.vectors.values(), strict=True):
        assert (vectors != first).any(-1).all()
    assert all(torch.equal(weight, before[name]) for name, weight in backbone.model.state_dict().items())
    assert backbone.model.training
    assert all(weight.requires_grad and weight.grad is None for weight in backbone.model.parameters())


def test_the_same_seed_gives_the_same_and_a_saved_prompt_as_well(architecture, tmp_path):
    one, other = classifier(architecture).fit(TEXTS, LABELS), classifier(architecture).fit(TEXTS, LABELS)
    probabilities = one.predict_proba(TEXTS)
    np.testing.assert_array_equal(probabilities, other.predict_proba(TEXTS))
    np.testing.assert_allclose(probabilities.sum(1), 1)
    one.save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", one.backbone_)
    np.testing.assert_array_equal(probabilities, loaded.predict_proba(TEXTS))
    alone = np.concatenate([loaded.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, probabilities, atol=1e-4)


@pytest.mark.parametrize(
    "template", ["<text> It was <mask>.", "<text>，很<mask>。", "<mask>：<text>", "<soft*2><mask> <text>"]
)
def test_templates_in_both_languages(architecture, template):
    words = {"积极": ["好", "满意"], "消极": "差"} if "It" not in template else WORDS
    made = classifier(architecture, template, words)
    texts, labels = models.SENTENCES[14:18], list(words) * 2
    assert set(made.fit(texts, labels).predict(texts)) <= set(words)


@pytest.mark.parametrize("head", ["warp", "linear", "prototypes"])
def test_heads(architecture, head):
    fitted = classifier(architecture, head=head, training__head_learning_rate=1.0).fit(TEXTS, LABELS)
    assert fitted.predict_proba(TEXTS).shape == (8, 2)


def test_a_soft_head_starts_from_the_words_of_the_decoder():
    """A label of one word of one token then has that word's score."""
    words = {"pos": "good", "neg": "bad"}
    template = "<text> It was <mask>."
    plain = classifier("t5", template, words)
    headed = classifier("t5", template, words, head="warp", training__head_learning_rate=1e-9).fit(TEXTS, LABELS)
    np.testing.assert_allclose(headed.predict_proba(TEXTS), plain.predict_proba(TEXTS), atol=1e-4)


def test_several_labels_for_an_example():
    made = MultiLabelPromptClassifier(models.backbone("t5"), "<text> It was <mask>.", WORDS, random_state=0)
    assert made.fit(TEXTS, [["pos"], ["neg"], ["pos", "neg"], []] * 2).predict(TEXTS).shape == (8, 2)


def test_rules(architecture):
    rules = RuleVerbalizer({"a": {"how": "good", "what": "film"}, "b": {"how": "bad", "what": "story"}})
    template = "<text> It was a <mask name=how> <mask name=what>."
    fitted = classifier(architecture, f"<soft*2>{template}", rules).fit(TEXTS, ["a", "b"] * 4)
    assert fitted.predict_proba(TEXTS).shape == (8, 2)


@pytest.mark.parametrize("method", ["contextual", "domain", "pmi", "batch", "prototypical", "temperature"])
def test_calibration(method):
    template = "<soft*2> <text> It was <mask>." if method == "temperature" else "<text> It was <mask>."
    fitted = classifier("t5", template, calibration=method).fit(TEXTS, LABELS)
    assert fitted.predict_proba(TEXTS).shape == (8, 2)


@pytest.mark.parametrize("choice", ["random", "nearest"])
def test_demonstrations(architecture, choice):
    template = "<demos*2><text> It was <mask>."
    fitted = classifier(architecture, template, demonstrations=choice).fit(["good", "bad", "fine", "dull"], LABELS[:4])
    assert set(fitted.predict(["A film"])) <= {"pos", "neg"}


def test_several_prompts_together(architecture):
    fitted = [
        classifier(architecture).fit(TEXTS, LABELS),
        classifier(architecture, "<soft*2><mask>: <text>", {"pos": "great", "neg": "bad"}).fit(TEXTS, LABELS),
        classifier(architecture, "<text> It was <mask>.", head="linear").fit(TEXTS, LABELS),
    ]
    together = PromptSet([own.prompt_ for own in fitted], fitted[0].backbone_).predict_proba(TEXTS)
    for found, own in zip(together, fitted, strict=True):
        np.testing.assert_allclose(found, own.predict_proba(TEXTS), atol=1e-4)


def test_how_a_masked_model_fills_in_makes_no_difference(architecture):
    scores = [
        classifier(architecture, "<text> It was <mask>.", Verbalizer(WORDS, decoding=decoding)).predict_proba(TEXTS)
        for decoding in ("together", "left_to_right", "most_confident")
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_explain_and_check(architecture):
    made = classifier(architecture, "<text> It was <mask>.")
    explanation = made.explain("A dull film", top=3)
    np.testing.assert_allclose(explanation.probabilities, made.predict_proba(["A dull film"])[0], atol=1e-4)
    by_word = {word.word: word for word in explanation.words}
    assert len(explanation.top) == 3
    assert 0 < explanation.mass <= 1
    assert by_word["really bad"].log_probability < 0
    assert made.check().works


def test_long_texts_are_cut(architecture):
    made = classifier(architecture, "<soft*4> <text> It was <mask>.").fit(["good film " * 60] * 4, LABELS[:4])
    assert made.truncation_.rows_cut == 4
    assert made.predict(["bad film " * 500]).shape == (1,)


def test_the_command_line(tmp_path, monkeypatch):
    made = models.backbone("t5")
    made.model.save_pretrained(tmp_path / "t5")
    made.tokenizer.save_pretrained(tmp_path / "t5")
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    template, words = "<soft*2> <text> It was <mask>.", '{"pos": "good", "neg": "bad"}'
    (tmp_path / "template.txt").write_text(template)
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["lint", "template.txt", "--model", "t5", "--verbalizer", words],
        ["inspect", template, "--model", "t5", "--text", "A film"],
        ["fit", "rows.jsonl", "--model", "t5", "--template", template, "--verbalizer", words, "--out", "prompt"],
        ["predict", "rows.jsonl", "--prompt", "prompt"],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (arguments, result.output)
