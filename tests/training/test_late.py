"""Soft vectors that enter at a layer in the middle: everything below is computed once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import models
from support.deep_reference import STACKS
from support.saved_prompts import reload
from support.training_task import Task

from softcloze import Prompt, PromptClassifier, PromptSet
from softcloze.analysis import delete_vectors, field_effects, harden, inspect_soft
from softcloze.backbone import SoftInputs
from softcloze.cli.inspect_view import filled
from softcloze.errors import ArtifactError, ParameterError
from softcloze.prompt import BoundPrompt
from softcloze.scoring.plan import late_positions
from softcloze.soft import layer_rms
from softcloze.template import Template

DEPTH = 4
SOURCE = "<text> <soft*2 layers=2-3> It was <mask>"
FROM = "A film: <text> <soft*2 from=text layers=2> It was <mask>"


def task_of(architecture, source=SOURCE):
    return Task(models.new_backbone(architecture, layers=DEPTH), source, texts=6)


def counted(task, architecture):
    """Sequences that each layer computes from now on, by its index."""
    stack = task.backbone.model.get_submodule(STACKS[architecture])
    rows = [0] * DEPTH

    def wrapped(index, forward):
        def run(states, *args, **kwargs):
            rows[index] += len(states)
            return forward(states, *args, **kwargs)

        return run

    for index, layer in enumerate(stack):
        layer.forward = wrapped(index, layer.forward)
    return rows


SKIPS = ["bert", "roberta", "electra", "distilbert", "modernbert", "deberta-v2", "albert", "bart"]


@pytest.mark.parametrize(
    ("architecture", "source"),
    [*((name, SOURCE) for name in SKIPS), *((name, FROM) for name in (*SKIPS, "gpt2", "llama", "gemma3_text"))],
)
def test_scores_and_gradients_are_those_of_all_layers(architecture, source):
    task = task_of(architecture, source)
    soft = task.soft()
    soft.start_networks(4, task.backbone.embedding_rms, 0)
    for layer in soft.networks.values():
        layer.data.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    assert soft.first_layer == 2
    with task.backbone.frozen():
        below = task.scorer.cache_below(task.prompts, soft.inputs(), 2, 2**30)
        assert below is not None and below.layer == 2
        scores = {}
        for name, inputs in (("all", soft.inputs()), ("cached", replace(soft.inputs(), below=below))):
            soft.zero_grad()
            scores[name] = task.scorer.batch(task.prompts[::-1], inputs)
            scores[name].log_softmax(-1)[:, 0].sum().backward()
            scores[name, "gradients"] = [weight.grad.clone() for weight in soft.trained.values()]
    torch.testing.assert_close(scores["cached"], scores["all"], atol=1e-5, rtol=1e-5)
    for gradient, expected in zip(scores["cached", "gradients"], scores["all", "gradients"], strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(gradient, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "source"), [("bert", SOURCE), ("bart", SOURCE), ("bert", FROM), ("bart", FROM), ("gpt2", FROM)]
)
def test_lower_layers_run_once_for_each_example_in_a_fit(architecture, source):
    task = task_of(architecture, source)
    expected, _ = task.fit(epochs=3)
    rows = counted(task, architecture)
    found, _ = task.fit(epochs=3)
    torch.testing.assert_close(found.deep_by_block(), expected.deep_by_block())
    torch.testing.assert_close(found.field_networks(), expected.field_networks())
    # the unit of the steps takes one more forward pass over each example, and the test of skipping two over two texts
    once = 2 * len(task.prompts) + 2 * 2
    assert rows[:2] == [once, once]
    assert rows[2] == rows[3] == 4 * len(task.prompts) + 2 * 2


@pytest.mark.parametrize("architecture", ["t5", "gpt2"])
def test_a_model_that_cannot_skip_layers_trains_all_the_same(architecture):
    task = task_of(architecture)
    soft = task.soft()
    with task.backbone.frozen():
        assert task.scorer.cache_below(task.prompts, soft.inputs(), 2, 2**30) is None
    task.fit(soft=soft, epochs=1)
    assert (soft.deep_by_block()["#1"] != task.deep["#1"]).any(-1).all()


def test_states_beyond_the_memory_and_unknown_sequences():
    task = task_of("bert")
    soft = task.soft()
    with task.backbone.frozen(), torch.no_grad():
        assert task.scorer.cache_below(task.prompts, soft.inputs(), 2, 1000) is None
        below = task.scorer.cache_below(task.prompts[:3], soft.inputs(), 2, 2**30)
        assert below.bytes == 4 * 32 * sum(len(ids) for ids, _ in below.states)
        mixed = task.scorer.batch(task.prompts, replace(soft.inputs(), below=below))
        torch.testing.assert_close(mixed, task.scorer.batch(task.prompts, soft.inputs()))
    shallow = SoftInputs(task.initial)
    assert task.scorer.cache_below(task.prompts, shallow, 0, 2**30) is None


def test_layers_are_as_before_afterwards():
    task = task_of("bert")
    layers = task.backbone.model.bert.encoder.layer
    with task.backbone.layers.skipping(range(1)):
        assert "forward" in vars(layers[0])
    assert all("forward" not in vars(layer) for layer in layers)


TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
WORDS = {"pos": "good", "neg": "bad"}


def classifier(backbone, template="<text> <soft*3 name=task from=text layers=1> It was <mask>", **parameters):
    return PromptClassifier(backbone, template, WORDS, epochs=2, random_state=0).set_params(
        **{"training__target_loss": 0.0, "training__from_learning_rate": 0.05, **parameters}
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("architecture", ["gpt2", "albert", "t5"])
def test_those_that_depend_on_a_field_are_saved_loaded_trained_further_and_scored_with_others(tmp_path, architecture):
    backbone = models.backbone(architecture)
    clf = classifier(backbone).fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEXTS)
    assert (clf.prompt_.networks["task/up"] != 0).all()
    for text, of_text in zip(TEXTS, expected, strict=True):
        np.testing.assert_allclose(clf.predict_proba([text])[0], of_text, atol=1e-5)
    shapes = {
        "task": (3, backbone.width),
        "deep/task": (1, 3, 32),
        "from/task/down": (16, 32),
        "from/task/up": (3, 32, 16),
    }
    again = reload(clf, tmp_path / "prompt", shapes, TEXTS)
    plain = classifier(backbone, "<soft*3> <text> It was <mask>").fit(TEXTS, LABELS)
    together = PromptSet([plain.prompt_, clf.prompt_], backbone).predict_proba(TEXTS)
    for own, alone in zip(together, (plain.predict_proba(TEXTS), expected), strict=True):
        np.testing.assert_allclose(own, alone, atol=1e-5)
    again.set_params(warm_start=True, training__deep_learning_rate=1e-9, training__from_learning_rate=1e-12)
    np.testing.assert_allclose(again.fit(TEXTS, LABELS).predict_proba(TEXTS), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_those_that_depend_on_a_field_are_shown_and_kept_from_what_does_not_take_them(tmp_path):
    backbone = models.backbone("gpt2")
    clf = classifier(backbone).fit(TEXTS, LABELS)
    said = "adds what the field text of each example gives by the model's states of it at layer 1"
    assert said in " ".join(f"{inspect_soft(clf)}".split())
    assert len(delete_vectors(clf, TEXTS, LABELS).vectors) == 3
    template = Template("<text><soft*2 from=text layers=12><mask>")
    described = template._repr_html_().replace("&#x27;", "'")
    assert "with a part that depends on the model's states of the field text, at layers 12, added" in described
    assert filled(template, {"text": "好"})[1] == ("soft", "◆◆←text@12")
    with pytest.raises(ParameterError, match="soft block 'task' depends on the field 'text'"):
        harden(clf)
    with pytest.raises(ParameterError, match="a soft slot"):
        clf.prompt_.to_peft(tmp_path / "adapter", backbone)
    networks = clf.prompt_.networks | {"task/up": torch.zeros(3, 8, 16)}
    with pytest.raises(ArtifactError, match=r"expected float32 of \(3, 32, 16\)"):
        Prompt(**{**vars(clf.prompt_), "networks": networks}).content()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("architecture", ["gpt2", "bert", "t5"])
def test_their_effects_are_those_of_the_states_of_the_field(architecture):
    backbone = models.backbone(architecture)
    clf = classifier(backbone).fit(TEXTS, LABELS)
    (effect,) = field_effects(clf, TEXTS).effects
    bound = BoundPrompt(clf.prompt_, backbone)
    inputs = bound.parts.soft.inputs()
    (network,) = inputs.late
    prompts = bound.encode(TEXTS)
    moved = []
    for prompt in prompts:
        (first, *_) = bound.compiled.scorer.model_inputs(prompt)
        at = list(late_positions(prompt, first))
        states = backbone.layer_states(first.source or first.ids, inputs)[1, at]
        mean = (states / states.square().mean(-1, keepdim=True).sqrt()).mean(0)
        with torch.no_grad():
            moved.append(network.up @ torch.tanh(network.down @ mean))
    moved = torch.stack(moved) / (layer_rms(backbone, prompts, inputs)[1] * 32**0.5)
    assert min(effect.moved) > 1e-4
    np.testing.assert_allclose(effect.moved, moved.norm(dim=-1).mean(-1), rtol=1e-4)
    np.testing.assert_allclose(effect.apart, (moved - moved.mean(0)).norm(dim=-1).mean(), rtol=1e-3)


def test_an_interrupted_fit_ends_where_another_does(tmp_path):
    task = task_of("gpt2", FROM)
    options = {"epochs": 3, "average_last_epochs": 2, "from_learning_rate": 0.05}
    expected, _ = task.fit(**options)
    soft, _ = task.resume(tmp_path / "progress", **options)
    for name, weight in expected.state_dict().items():
        assert torch.equal(soft.state_dict()[name], weight)
