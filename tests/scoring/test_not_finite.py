"""Scores that are not finite never become a label, a probability or a saved prompt."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import models

from softcloze import Prompt, PromptClassifier, PromptSet, TrainingSettings, predict_stream
from softcloze.backbone import Backbone
from softcloze.calibration import LabelBias, Temperature
from softcloze.errors import BackboneError, NonFiniteError
from softcloze.prompt import BoundPrompt

WORDS = {"pos": "good", "neg": "bad"}
HARD, SOFT = "<text> It was <mask>", "<soft*2> <text> It was <mask>"
TEXTS = models.SENTENCES[:6]
LABELS = ["pos", "neg"] * 3
BROKEN = 3  # the only text with the word "terrible"
FAMILIES = ["bert", "gpt2", "llama", "t5"]


def own_backbone(architecture):
    """A backbone whose weights a test may change."""
    shared = models.backbone(architecture)
    return Backbone(copy.deepcopy(shared.model), shared.tokenizer, "mine")


@torch.no_grad()
def spoil(backbone, word=" terrible"):
    for token in backbone.prompt_tokenizer.ids(word)[:1]:
        backbone.model.get_input_embeddings().weight[token] = torch.nan


def overflowing(architecture):
    """A model in half precision whose numbers grow beyond it, as those of Gemma 3 do."""
    backbone = own_backbone(architecture)
    backbone.model.half()
    with torch.no_grad():
        for name, weight in backbone.model.named_parameters():
            if weight.dim() == 2 and "embed" not in name and "wte" not in name and "lm_head" not in name:
                weight.mul_(1000).clamp_(-60000, 60000)
    return backbone


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_row_without_finite_scores_is_named(architecture):
    """huggingface/transformers#39972"""
    backbone = own_backbone(architecture)
    clf = PromptClassifier(backbone, HARD, WORDS)
    usual = clf.predict_proba(TEXTS)
    spoil(backbone)
    for call in (clf.predict, clf.predict_proba, clf.decision_function, lambda X: clf.score(X, LABELS)):
        with pytest.raises(NonFiniteError, match=f"^row {BROKEN}: the scores of 'mine' are not finite: there are NaN"):
            call(TEXTS)
    with pytest.raises(NonFiniteError, match=r"^the scores of 'mine' are not finite"):
        clf.explain(TEXTS[BROKEN])
    others = [text for i, text in enumerate(TEXTS) if i != BROKEN]
    np.testing.assert_allclose(clf.predict_proba(others), np.delete(usual, BROKEN, 0), atol=1e-5)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_row_of_a_stream_fails_alone(architecture):
    backbone = own_backbone(architecture)
    clf = PromptClassifier(backbone, HARD, WORDS)
    usual = clf.predict_proba(TEXTS)
    spoil(backbone)
    rows = [*predict_stream(clf, TEXTS)]
    assert [row.label is None for row in rows] == [i == BROKEN for i in range(len(TEXTS))]
    assert rows[BROKEN].error.startswith("the scores of 'mine' are not finite: there are NaN ")
    for row, expected in zip(rows, usual, strict=True):
        if row.row != BROKEN:
            np.testing.assert_allclose(row.probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_an_overflow_names_the_precision_and_the_way_out(architecture):
    clf = PromptClassifier(overflowing(architecture), HARD, WORDS)
    with pytest.raises(NonFiniteError, match=r'float16 ends at 65504.*; load it with dtype="bfloat16" or "float32"'):
        clf.predict(TEXTS)
    assert {row.label for row in predict_stream(clf, TEXTS)} == {None}


def test_prompts_scored_together_name_the_row():
    backbone = own_backbone("llama")
    prompts = [PromptClassifier(backbone, t, WORDS)._bound_prompt().prompt for t in (HARD, "<text> All in all, <mask>")]
    together = PromptSet(prompts, backbone)
    spoil(backbone)
    with pytest.raises(NonFiniteError, match=f"^row {BROKEN}: "):
        together.predict_proba(TEXTS)


def test_a_model_of_nan_is_refused_with_its_weight():
    shared = models.backbone("bert")
    model = copy.deepcopy(shared.model)
    with torch.no_grad():
        model.cls.predictions.transform.dense.weight[0, 0] = torch.nan
    with pytest.raises(BackboneError, match=r"not finite: cls.predictions.transform.dense.weight"):
        Backbone(model, shared.tokenizer, "mine")


@pytest.mark.parametrize("name", ["soft vectors", "head"])
def test_trained_tensors_that_are_infinite_are_named(name):
    backbone = models.backbone("bert")
    clf = PromptClassifier(backbone, SOFT, WORDS, head="linear", epochs=1, random_state=0).fit(TEXTS, LABELS)
    prompt = clf.prompt_
    if name == "head":
        prompt = replace(prompt, head_tensors={**prompt.head_tensors, "bias": torch.tensor([torch.inf, torch.nan])})
        message = "infinite numbers in the 'bias' of its head; fit again"
    else:
        vectors = {key: tensor * torch.inf for key, tensor in prompt.vectors.items()}
        prompt = replace(prompt, vectors=vectors)
        message = "infinite numbers in its soft vectors; fit again"
    assert isinstance(prompt, Prompt)
    with pytest.raises(NonFiniteError, match=message):
        BoundPrompt(prompt, backbone).scores(TEXTS)


def test_an_impossible_word_has_the_probability_zero():
    backbone = own_backbone("bert")
    (bad,) = backbone.prompt_tokenizer.ids(" bad")
    with torch.no_grad():
        backbone.model.get_output_embeddings().bias[bad] = -torch.inf
    clf = PromptClassifier(backbone, HARD, WORDS)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), [[0, 1]] * len(TEXTS))  # neg, pos
    assert {*clf.predict(TEXTS)} == {"pos"}
    for calibration in (LabelBias("batch", (0.5, -0.5)), Temperature(2.0)):
        np.testing.assert_array_equal(np.exp(calibration.apply([[-np.inf, 1.0]])) > 0, [[False, True]])
    with torch.no_grad():
        backbone.model.get_output_embeddings().bias.fill_(-torch.inf)
    with pytest.raises(NonFiniteError, match="row 0 and 5 more: "):
        clf.predict(TEXTS)


@pytest.mark.parametrize("parameters", [{}, {"epochs": 1}, {"training": TrainingSettings(early_stopping=True)}])
def test_a_fit_that_is_not_finite_stops(parameters, tmp_path):
    """unslothai/unsloth#4014"""
    backbone = own_backbone("gpt2")
    clf = PromptClassifier(backbone, SOFT, WORDS, calibration=None, random_state=0).set_params(**parameters)
    clf.set_params(training__checkpoint=tmp_path)
    spoil(backbone)
    with pytest.raises(NonFiniteError, match=r"loss is NaN or infinite in epoch 1, step . of ., with learning_rate=0"):
        clf.fit(TEXTS[:4] * 4, LABELS[:4] * 4)
    assert not hasattr(clf, "prompt_") and not [*tmp_path.iterdir()]


@pytest.mark.parametrize("head", ["words", "linear", "prototypes"])
def test_a_fit_in_half_precision_that_overflows_stops(head):
    clf = PromptClassifier(overflowing("llama"), HARD if head != "words" else SOFT, WORDS, head=head, random_state=0)
    with pytest.raises(NonFiniteError, match=r'load it with dtype|dtype="bfloat16" or "float32"; nothing was learnt'):
        clf.fit(TEXTS, LABELS)


def test_weights_beyond_the_precision_of_the_model_stop_a_fit():
    """The last step leaves numbers that are finite in single precision alone."""
    backbone = own_backbone("llama")
    backbone.model.half()
    clf = PromptClassifier(backbone, SOFT, WORDS, random_state=0, learning_rate=1e6, epochs=1, batch_size=6)
    clf.set_params(training__warmup_fraction=0.0)
    with pytest.raises(NonFiniteError, match=r"trained weight is NaN or infinite in epoch 1, step 1 of 1, .*float16"):
        clf.fit(TEXTS, LABELS)


def test_demonstrations_are_not_chosen_by_nan():
    backbone = own_backbone("bert")
    spoil(backbone)
    clf = PromptClassifier(backbone, "<demos*2> <text> It was <mask>.", WORDS, demonstrations="nearest")
    with pytest.raises(NonFiniteError, match=f"row {BROKEN}: "):
        clf.fit(TEXTS, LABELS)


def test_the_error_pickles():
    error = NonFiniteError("the scores are not finite", [3], 6)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "row 3: the scores are not finite"
