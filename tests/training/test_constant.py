"""Blocks with train=no: vectors that a fit leaves as they are."""

import numpy as np
import pytest
import torch
from support import models
from support.training_task import Task

from softcloze import MultiLabelPromptClassifier, PromptClassifier
from softcloze.analysis import inspect_soft
from softcloze.heads import fit_exact
from softcloze.prompt import BoundPrompt

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
WORDS = {"pos": "good", "neg": "bad"}
SHALLOW = "<soft*3 name=language train=no> <text> <soft*2 name=task> It was <mask>"
DEEP = (
    "<soft*3 name=language layers=all train=no> <text> <soft*2 name=task layers=all mode=replace> "
    "<soft name=other layers=1-2 mode=replace train=no> It was <mask>"
)


def bits(tensors):
    return {key: tensor.numpy().tobytes() for key, tensor in tensors.items()}


@pytest.mark.parametrize(
    "options", [{}, {"average_last_epochs": 2}, {"early_stopping": True}], ids=["last", "mean", "best"]
)
@pytest.mark.parametrize("source", [SHALLOW, DEEP], ids=["shallow", "deep"])
def test_a_fit_changes_no_bit(source, options):
    task = Task(models.backbone("gpt2", layers=3), source, texts=8)
    task.initial[0, :8] = -0.0
    soft = task.soft()
    before, deep = bits(soft.by_block()), bits(soft.deep_by_block())
    task.fit(soft=soft, epochs=3, learning_rate=1.0, deep_learning_rate=0.5, **options)
    after, deep_after = bits(soft.by_block()), bits(soft.deep_by_block())
    assert after.pop("task") != before.pop("task")
    assert after == before
    assert source == SHALLOW or deep_after.pop("task") != deep.pop("task")
    assert deep_after == deep


def test_a_resumed_fit_changes_no_bit(tmp_path):
    task = Task("gpt2", SHALLOW, texts=8)
    options = {"epochs": 3, "average_last_epochs": 2, "learning_rate": 1.0}
    expected, _ = task.fit(**options)
    resumed, _ = task.resume(tmp_path / "progress", **options)
    assert bits(resumed.by_block()) == bits(expected.by_block())
    assert bits(resumed.by_block())["language"] == bits(task.soft().by_block())["language"]


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_constant_words_train_like_words_of_the_template(architecture):
    """The other blocks get the gradients that they have beside the same words in the text."""
    backbone = models.backbone(architecture)
    parameters = {"epochs": 3, "random_state": 0, "soft_init": "labels", "max_length": 60}
    words = PromptClassifier(backbone, "the film <text> <soft*2 name=task> It was <mask>", WORDS, **parameters)
    block = '<soft init="the film" train=no> <text> <soft*2 name=task> It was <mask>'
    clf = PromptClassifier(backbone, block, WORDS, **parameters)
    expected = words.fit(TEXTS, LABELS).prompt_.vectors["task"]
    torch.testing.assert_close(clf.fit(TEXTS, LABELS).prompt_.vectors["task"], expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(clf.predict_proba(TEXTS), words.predict_proba(TEXTS), atol=1e-5)


@pytest.fixture(scope="module")
def source():
    template = "<soft*2 name=task layers=all> <text> It was <mask>"
    clf = PromptClassifier(models.backbone("gpt2"), template, WORDS, epochs=2, learning_rate=1.0, random_state=0)
    return clf.fit(TEXTS, LABELS).prompt_


ALL_CONSTANT = "<soft*2 name=task layers=all train=no> <text> It was <mask>"


def test_without_slots_to_train_a_fit_is_that_of_a_hard_prompt(source, tmp_path):
    backbone = models.backbone("gpt2")
    clf = PromptClassifier(backbone, ALL_CONSTANT, WORDS, soft_init=source, random_state=0).fit(TEXTS, LABELS)
    assert clf.history_ == []
    assert bits(clf.prompt_.vectors) == bits(source.vectors)
    assert bits(clf.prompt_.deep) == bits(source.deep)
    expected = BoundPrompt(source, backbone)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected.probabilities(expected.scores(TEXTS)))
    clf.save(tmp_path / "p")
    again = PromptClassifier.load(tmp_path / "p", backbone)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    again.set_params(warm_start=True).fit(TEXTS, LABELS)
    assert bits(again.prompt_.vectors) == bits(source.vectors)


def test_a_head_is_trained_on_constant_vectors(source):
    backbone = models.backbone("gpt2")
    parameters = {"soft_init": source, "random_state": 0, "epochs": 2}
    for head in ("words+linear", "warp", "prototypes"):
        clf = PromptClassifier(backbone, ALL_CONSTANT, WORDS, head=head, **parameters).fit(TEXTS, LABELS)
        assert bits(clf.prompt_.vectors) == bits(source.vectors)
        assert len(clf.history_) == (2 if head == "warp" else 0)
        assert bits(clf.prompt_.deep) == bits(source.deep)
    clf = PromptClassifier(backbone, ALL_CONSTANT, WORDS, head="linear", **parameters).fit(TEXTS, LABELS)
    bound = clf._bound_prompt()
    features = bound.compiled.features([*bound.encode(TEXTS), *bound.compiled.encode_labels()], bound.parts.soft)
    fitted = fit_exact(
        "linear",
        clf.prompt_.verbalizer,
        features[: len(TEXTS)],
        [[*clf.classes_].index(label) for label in LABELS],
        label_features=features[len(TEXTS) :],
        seed=0,
    )
    for name, tensor in fitted.head.state_dict().items():
        torch.testing.assert_close(clf.prompt_.head_tensors[name], tensor)


def test_several_labels_with_constant_vectors():
    clf = MultiLabelPromptClassifier(
        models.backbone("gpt2"), '<soft init="It was" train=no> <text> <mask>', WORDS, random_state=0
    )
    clf.fit(TEXTS, [["pos"], ["neg"], ["pos", "neg"], []] * 2)
    words = clf.backbone_.embed(torch.tensor(clf.backbone_.prompt_tokenizer.ids("It was")))
    assert torch.equal(clf.prompt_.vectors["#1"], words.float())
    assert clf.history_ == []


def test_an_inspection_names_constant_blocks(source):
    template = "<soft*2 name=task train=no layers=all> <text> <soft> It was <mask>"
    clf = PromptClassifier(models.backbone("gpt2"), template, WORDS, soft_init=source, random_state=0, epochs=1)
    inspection = inspect_soft(clf.fit(TEXTS, LABELS))
    assert inspection.constant == ("task",)
    assert "not trained: task" in str(inspection)
    assert "not trained" in clf.prompt_.template._repr_html_()
