"""Soft vectors that depend on a field: training, saving, and what does not take them."""

import numpy as np
import pytest
import torch
from support import models
from support.saved_prompts import reload
from support.training_task import Task

from softcloze import Prompt, PromptClassifier, PromptSet, combine
from softcloze.analysis import delete_vectors, harden, inspect_soft
from softcloze.cli.inspect_view import filled
from softcloze.errors import ArtifactError, ParameterError
from softcloze.soft import SoftVectors
from softcloze.template import Template

TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
WORDS = {"pos": "good", "neg": "bad"}
FAST = {"from_learning_rate": 0.05}


def task_of(architecture="gpt2"):
    return Task(architecture, "<soft*3 from=text> <text> <soft*2> It was <mask>", texts=8)


def classifier(backbone, template="<soft*3 name=task from=text> <text> It was <mask>", **parameters):
    return PromptClassifier(backbone, template, WORDS, epochs=2, random_state=0).set_params(
        **{"training__target_loss": 0.0, "training__from_learning_rate": 0.05, **parameters}
    )


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # two epochs


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_both_layers_learn_and_texts_get_different_vectors(architecture):
    task = task_of(architecture)
    start = task.soft()
    start.start_networks(16, task.backbone.embedding_rms, seed=0)
    soft, _ = task.fit(**FAST)
    trained = soft.field_networks()
    assert {name: tuple(layer.shape) for name, layer in trained.items()} == {"#1/down": (16, 32), "#1/up": (3, 32, 16)}
    assert not torch.isclose(trained["#1/down"], start.networks["#1/down"]).all(-1).any()
    assert (trained["#1/up"] != 0).all()
    assert not torch.isclose(soft.weight, task.initial).all(-1).any()
    (network,) = soft.inputs().networks
    embed = task.backbone.model.get_input_embeddings().weight.detach()
    means = torch.stack([embed[list(prompt.field_ids["text"])].mean(0) for prompt in task.prompts[:2]])
    one, other = network.vectors(soft.weight[:3], means)
    assert not torch.isclose(one, other, rtol=1e-3).all(-1).any()
    again, _ = task.fit(**FAST)
    assert torch.equal(again.networks["#1/up"], soft.networks["#1/up"])


def test_with_tiny_steps_the_fit_is_that_of_the_plain_prompt():
    plain, _ = Task("gpt2", "<soft*3> <text> <soft*2> It was <mask>", texts=8).fit()
    slow, _ = task_of().fit(from_learning_rate=1e-12)
    torch.testing.assert_close(slow.weight, plain.weight, atol=1e-5, rtol=1e-4)


def test_the_mean_is_that_of_all_weights_after_each_step():
    task, after = task_of(), []
    soft = task.soft()
    options = {"epochs": 3, "batch_size": 8, **FAST}

    def keep(_):
        after.append({name: layer.clone() for name, layer in soft.field_networks().items()})

    task.fit(soft=soft, on_epoch=keep, **options)
    mean, _ = task.fit(average_last_epochs=2, **options)
    for name, layer in mean.field_networks().items():
        torch.testing.assert_close(layer, torch.stack([epoch[name] for epoch in after[-2:]]).mean(0))


@pytest.mark.parametrize("averaged", [0, 2])
def test_an_interrupted_fit_ends_where_another_does(tmp_path, averaged):
    task = task_of()
    options = {"epochs": 3, "average_last_epochs": averaged, **FAST}
    expected, _ = task.fit(**options)
    soft, _ = task.resume(tmp_path / "progress", **options)
    for name, weight in expected.state_dict().items():
        assert torch.equal(soft.state_dict()[name], weight)


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "t5"])
def test_saved_loaded_trained_further_and_scored_with_others(tmp_path, architecture):
    backbone = models.backbone(architecture)
    clf = classifier(backbone).fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEXTS)
    shapes = {
        "task": (3, 32),
        "from/task/down": (16, 32),
        "from/task/up": (3, 32, 16),
    }
    again = reload(clf, tmp_path / "prompt", shapes, TEXTS)
    plain = classifier(backbone, "<soft*3> <text> It was <mask>").fit(TEXTS, LABELS)
    together = PromptSet([clf.prompt_, plain.prompt_], backbone).predict_proba(TEXTS)
    for own, alone in zip(together, (expected, plain.predict_proba(TEXTS)), strict=True):
        np.testing.assert_allclose(own, alone, atol=1e-5)
    again.set_params(warm_start=True, learning_rate=1e-9, training__from_learning_rate=1e-12).fit(TEXTS, LABELS)
    np.testing.assert_allclose(again.predict_proba(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("down", (16, 31), r"shape \(16, 31\); expected float32 of \(16, 32\)"),
        ("up", (3, 32, 5), r"shape \(3, 32, 5\); expected float32 of \(3, 32, 16\)"),
        ("up", (2, 32, 16), r"shape \(2, 32, 16\); expected float32 of \(3, 32, 16\)"),
        ("up", None, "it has the tensors 'from/task/down', 'task'; expected 'from/task/down', 'from/task/up', 'task'"),
    ],
)
def test_tensors_of_other_shapes_raise(name, shape, problem):
    clf = classifier(models.backbone("bert")).fit(TEXTS[:4], LABELS[:4])
    networks = {key: layer for key, layer in clf.prompt_.networks.items() if key != f"task/{name}"}
    if shape is not None:
        networks[f"task/{name}"] = torch.zeros(shape)
    with pytest.raises(ArtifactError, match=problem):
        Prompt(**{**vars(clf.prompt_), "networks": networks}).content()


def test_networks_of_other_blocks_raise():
    task = task_of()
    vectors = SoftVectors(task.blocks, task.initial).by_block()
    for networks in ({"#2/down": torch.zeros(2, 32)}, {"#1/down": torch.zeros(2, 32)}):
        with pytest.raises(ParameterError, match="takes the networks '#1/down', '#1/up' for its slots with from="):
            SoftVectors.from_blocks(task.blocks, vectors, None, networks)


def test_what_does_not_take_them(tmp_path):
    backbone = models.backbone("gpt2")
    clf = classifier(backbone).fit(TEXTS, LABELS)
    with pytest.raises(ParameterError, match="soft block 'task' depends on the field 'text'"):
        harden(clf)
    with pytest.raises(ParameterError, match="a soft slot has from=, and an adapter has the same vectors for every"):
        clf.prompt_.to_peft(tmp_path / "adapter", backbone)
    with pytest.raises(
        ParameterError, match=r"'task' depends on the field 'text' .* continue that prompt with warm_start=True"
    ):
        classifier(backbone, "<soft*3 name=task> <text> So <mask>", soft_init=clf.prompt_).fit(TEXTS, LABELS)
    with pytest.raises(ParameterError, match=r"'task' of prompts\[0\] depends on the field 'text' .* do not add up"):
        combine([clf.prompt_], [0.5], backbone)
    dependent = classifier(backbone, learning_rate=1e-9, training__from_learning_rate=1e-12)
    plain = classifier(backbone, "<soft*3 name=task> <text> It was <mask>").fit(TEXTS, LABELS)
    dependent.set_params(soft_init=plain.prompt_).fit(TEXTS, LABELS)
    np.testing.assert_allclose(dependent.predict_proba(TEXTS), plain.predict_proba(TEXTS), atol=1e-5)


def test_inspection_shows_the_base_and_the_field():
    clf = classifier(models.backbone("bert")).fit(TEXTS, LABELS)
    inspection = inspect_soft(clf)
    said = "to which a network of width 16 adds what the field text of each example gives by its mean input embedding"
    assert f"block task: base vectors, {said}" in " ".join(f"{inspection}".split())
    assert len(inspection.vectors) == 3
    assert len(delete_vectors(clf, TEXTS, LABELS).vectors) == 3
    template = Template("<soft*2 from=text><text><mask>")
    assert str(template) == "<soft*2 from=text><text><mask>"
    assert "with a part that depends on the field text" in template._repr_html_()
    assert filled(template, {"text": "好"})[0] == ("soft", "◆◆←text")
