"""Soft vectors that enter at a layer in the middle: everything below is computed once."""

from dataclasses import replace

import pytest
import torch
from support import models
from support.deep_reference import STACKS
from support.training_task import Task

from softcloze.backbone import SoftInputs

DEPTH = 4
SOURCE = "<text> <soft*2 layers=2-3> It was <mask>"


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


@pytest.mark.parametrize("architecture", SKIPS)
def test_scores_and_gradients_are_those_of_all_layers(architecture):
    task = task_of(architecture)
    soft = task.soft()
    assert soft.first_layer == 2
    with task.backbone.frozen():
        below = task.scorer.cache_below(task.prompts, soft.inputs(), 2, 2**30)
        assert below is not None and below.layer == 2
        scores = {}
        for name, inputs in (("all", soft.inputs()), ("cached", replace(soft.inputs(), below=below))):
            soft.zero_grad()
            scores[name] = task.scorer.batch(task.prompts[::-1], inputs)
            scores[name].log_softmax(-1)[:, 0].sum().backward()
            scores[name, "gradient"] = soft.deep.grad.clone()
    torch.testing.assert_close(scores["cached"], scores["all"], atol=1e-5, rtol=1e-5)
    gradient, expected = scores["cached", "gradient"], scores["all", "gradient"]
    torch.testing.assert_close(gradient, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("architecture", ["bert", "bart"])
def test_lower_layers_run_once_for_each_example_in_a_fit(architecture):
    task = task_of(architecture)
    expected = task.fit(epochs=3)[0].deep_by_block()["#1"]
    rows = counted(task, architecture)
    found = task.fit(epochs=3)[0].deep_by_block()["#1"]
    torch.testing.assert_close(found, expected)
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
