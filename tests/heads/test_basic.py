"""Heads on the state at the mask: their input, training with slots, saving; WARP heads against plain transformers."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from support import models
from support.reference_states import probed_states_by_transformers, states_by_transformers
from support.training_task import interrupt_at

from softcloze import PromptClassifier, Template, Verbalizer
from softcloze.errors import ParameterError
from softcloze.heads import initial_head
from softcloze.prompt import CompiledPrompt
from softcloze.training import TrainingSettings

HARD = "<text> It was <mask>"
ONE_EACH = {"pos": "good", "neg": "bad"}
SEVERAL = {"pos": {"good": 3, "great": 1}, "neg": ["bad", "terrible"]}
TEXTS = models.SENTENCES[:12]
TARGETS = [0, 1] * 6
pytestmark = pytest.mark.usefixtures("few_folds")


def bound(architecture, table, head, source=HARD):
    return CompiledPrompt(Template(source), Verbalizer(table), models.backbone(architecture), None, head)


def start(prompt, head):
    return initial_head(head, prompt.verbalizer, prompt.words, prompt.scorer.backbone)


@pytest.mark.parametrize("architecture", [*models.MASKED, *models.CAUSAL])
def test_features_are_the_states_of_plain_transformers(architecture):
    for head, reference in (("warp", states_by_transformers), ("linear", probed_states_by_transformers)):
        prompt = bound(architecture, ONE_EACH, head)
        prompts = prompt.encode(TEXTS)
        expected = reference(prompt.scorer.backbone, prompts)
        torch.testing.assert_close(prompt.features(prompts, None), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert", "gpt2", "llama", "opt"])
def test_a_warp_head_starts_with_the_scores_of_the_label_words(architecture):
    """Weighted means of the vocabulary's scores, here by the whole head of plain transformers."""
    prompt = bound(architecture, SEVERAL, "warp")
    backbone, prompts = prompt.scorer.backbone, prompt.encode(TEXTS)
    found = start(prompt, "warp").label_scores(prompt.features(prompts, None))
    expected = []
    for one in prompts:
        mask_id = backbone.prompt_tokenizer.mask_id
        row = [*one.left, mask_id, *one.right] if mask_id is not None else list(one.left)
        with torch.no_grad():
            logits = models.logits_of(backbone.model, row)[len(one.left) - (mask_id is None)]
        good, great, bad, terrible = (logits[list(word)].mean() for word in (prompt.words[i] for i in (2, 3, 0, 1)))
        expected.append(torch.stack([(bad + terrible) / 2, (3 * good + great) / 4]))
    expected = torch.stack(expected)
    torch.testing.assert_close(found.detach(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head", ["warp", "linear", "words+linear"])
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_slots_and_head_are_trained_together(architecture, head):
    training = TrainingSettings(target_loss=0.0, head_learning_rate=1.0)
    options = {"epochs": 6, "training": training, "random_state": 0}
    clf = PromptClassifier(models.backbone(architecture), "<soft*2> " + HARD, ONE_EACH, head=head, **options)
    labels = ["neg", "pos"] * 6
    clf.fit(TEXTS, labels)
    begun = clf._initial_parts(clf._bound.compiled, [], "template", np.random.default_rng(0))
    (vectors,) = clf.prompt_.vectors.values()
    assert not torch.equal(vectors, begun.soft.weight)
    first = clf.exact_.head if head != "warp" else begun.head
    assert not torch.equal(clf.prompt_.head_tensors["weight"], first.weight)
    assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]
    again = PromptClassifier(**clf.get_params(deep=False)).fit(TEXTS, labels)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the model knows nothing
@pytest.mark.parametrize("head", ["warp", "linear", "words+linear", "prototypes"])
@pytest.mark.parametrize("source", [HARD, "<soft*2> " + HARD])
def test_a_head_is_restored_from_a_saved_prompt(tmp_path, head, source):
    training = TrainingSettings(head_learning_rate=1.0)
    backbone, options = models.backbone("gpt2"), {"epochs": 6, "training": training, "random_state": 0}
    clf = PromptClassifier(backbone, source, SEVERAL, head=head, **options).fit(TEXTS, ["neg", "pos"] * 6)
    clf.save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", model=backbone)
    assert loaded.head == head
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the model knows nothing
@pytest.mark.parametrize("source", [HARD, "<soft*2> " + HARD])
def test_an_interrupted_fit_resumes(tmp_path, source):
    training = TrainingSettings(target_loss=0.0, checkpoint=tmp_path)
    options = {"head": "warp", "epochs": 3, "random_state": 0}
    backbone, labels = models.backbone("bert"), ["neg", "pos"] * 6
    clf = PromptClassifier(backbone, source, ONE_EACH, training=training, **options)
    whole = clone(clf).fit(TEXTS, labels)
    with pytest.raises(KeyboardInterrupt):
        clone(clf).set_params(training__on_epoch=interrupt_at(1)).fit(TEXTS, labels)
    assert len(list(tmp_path.iterdir())) == 1
    told = []
    resumed = clf.set_params(training__on_epoch=told.append).fit(TEXTS, labels)
    assert [record["epoch"] for record in told] == [2, 3]
    np.testing.assert_array_equal(resumed.predict_proba(TEXTS), whole.predict_proba(TEXTS))


def test_warm_start_continues_from_the_head():
    backbone, labels = models.backbone("bert"), ["neg", "pos"] * 6
    clf = PromptClassifier(
        backbone,
        HARD,
        ONE_EACH,
        head="warp",
        epochs=30,
        training=TrainingSettings(target_loss=0.0),
        warm_start=True,
        random_state=0,
    )
    first = clf.fit(TEXTS, labels).history_
    assert clf.fit(TEXTS, labels).history_[0]["loss"] < first[0]["loss"]


def test_a_linear_head_needs_no_label_words():
    labels = ["sci.space", "rec.autos"] * 6
    clf = PromptClassifier(models.backbone("bert"), HARD, head="linear", random_state=0).fit(TEXTS, labels)
    assert clf.classes_.tolist() == ["rec.autos", "sci.space"]
    assert set(clf.predict(TEXTS)) <= set(labels)


def test_chinese():
    texts = [line for line in models.SENTENCES if line[0] > "z"]
    labels = ["差" if "不" in line or "差" in line or "失望" in line or "坏" in line else "好" for line in texts]
    clf = PromptClassifier(
        models.backbone("llama"),
        "<text>总之，很<mask>",
        head="warp",
        epochs=20,
        training=TrainingSettings(target_loss=0.0),
        random_state=0,
    )
    assert clf.fit(texts, labels).score(texts, labels) > 0.8


class TestErrors:
    def test_an_unknown_head_is_named(self):
        with pytest.raises(ParameterError, match="did you mean 'linear'"):
            PromptClassifier(models.backbone("bert"), HARD, ONE_EACH, head="linaer").fit(TEXTS, ["neg", "pos"] * 6)

    def test_text_after_the_mask_of_a_causal_model(self):
        with pytest.raises(ParameterError, match="put <mask> at the end"):
            bound("gpt2", ONE_EACH, "warp", source="<text> It was <mask>, I say")
        assert bound("bert", ONE_EACH, "warp", source="<text> It was <mask>, I say")

    @pytest.mark.parametrize("head", ["warp", "linear", "words+linear", "prototypes"])
    def test_a_head_has_to_be_learnt(self, head):
        with pytest.raises(Exception, match="call fit first"):
            PromptClassifier(models.backbone("bert"), HARD, ONE_EACH, head=head).predict(TEXTS)

    def test_explain_is_for_label_words_and_linear_layers(self):
        clf = PromptClassifier(models.backbone("bert"), HARD, ONE_EACH, head="warp", epochs=1, random_state=0)
        clf.fit(TEXTS, ["neg", "pos"] * 6)
        with pytest.raises(ValueError, match="label words"):
            clf.explain(TEXTS[0])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the model knows nothing
def test_warm_start_with_other_words_uses_these():
    backbone, labels = models.backbone("bert"), ["neg", "pos"] * 6
    clf = PromptClassifier(backbone, "<soft*2> " + HARD, ONE_EACH, epochs=1, warm_start=True, random_state=0)
    clf.fit(TEXTS, labels)
    clf.set_params(verbalizer={"pos": "great", "neg": "terrible"}, learning_rate=1e-9).fit(TEXTS, labels)
    # the vectors have not moved, so that the loss in training is that of the predictions
    probabilities = clf.predict_proba(TEXTS)[np.arange(12), TARGETS]
    assert clf.history_[0]["loss"] == pytest.approx(-np.log(probabilities).mean(), abs=1e-4)
