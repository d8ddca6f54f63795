"""Invariants 7 and 8: the backbone and global generators do not change, and equal seeds give equal vectors."""

import random
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from support import models
from support.training_task import Task, without_seconds
from torch.nn.functional import cross_entropy

from softcloze.errors import ParameterError
from softcloze.training import warn_if_stuck
from softcloze.training.settings import learning_rate_share

SOURCE = "<soft*2> <text> <soft> It was <mask>"
CAUSAL_AND_MASKED = pytest.mark.parametrize("architecture", ["gpt2", "bert"])


@CAUSAL_AND_MASKED
@pytest.mark.parametrize("source", [SOURCE, "<text> <soft*2> It was <mask>."])
def test_the_backbone_stays_bit_for_bit(architecture, source):
    backbone = models.new_backbone(architecture)
    backbone.model.train()
    assert all(parameter.requires_grad for parameter in backbone.model.parameters())
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    task = Task(backbone, source)
    soft, _ = task.fit()
    assert not torch.equal(soft.weight, task.initial)
    for name, value in backbone.model.state_dict().items():
        assert torch.equal(value, before[name])
    for parameter in backbone.model.parameters():
        assert parameter.grad is None
        assert parameter.requires_grad
    assert all(module.training for module in backbone.model.modules())


def test_bert_tiny_stays_too_and_its_loss_falls(bert_tiny):
    before = {name: value.clone() for name, value in bert_tiny.model.state_dict().items()}
    task = Task(bert_tiny, SOURCE)
    soft, history = task.fit(epochs=6)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert all(torch.equal(value, before[name]) for name, value in bert_tiny.model.state_dict().items())
    assert all(parameter.grad is None for parameter in bert_tiny.model.parameters())
    again, same = task.fit(epochs=6)
    assert torch.equal(again.weight, soft.weight)
    assert without_seconds(same) == without_seconds(history)


@CAUSAL_AND_MASKED
def test_dropout_is_off_while_training(architecture):
    calm, noisy = models.new_backbone(architecture), models.new_backbone(architecture)
    noisy.model.train()
    assert torch.equal(Task(calm, SOURCE).fit()[0].weight, Task(noisy, SOURCE).fit()[0].weight)


@CAUSAL_AND_MASKED
def test_same_seed_same_vectors(architecture):
    task = Task(architecture, SOURCE)
    one, history = task.fit(seed=3)
    two, same = task.fit(seed=3)
    assert torch.equal(one.weight, two.weight)
    assert without_seconds(history) == without_seconds(same)
    other, _ = task.fit(seed=4)
    assert not torch.equal(one.weight, other.weight)
    zero, _ = task.fit(seed=0)
    assert not torch.equal(zero.weight, one.weight)


@CAUSAL_AND_MASKED
@pytest.mark.parametrize("early_stopping", [False, True])
def test_global_generators_are_not_touched(architecture, early_stopping):
    task = Task(architecture, SOURCE)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    first, _ = task.fit(epochs=1, early_stopping=early_stopping)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))
    assert random.getstate() == before[2]
    torch.manual_seed(6)
    assert torch.equal(task.fit(epochs=1, early_stopping=early_stopping)[0].weight, first.weight)


def test_records():
    told = []
    _, history = Task("gpt2", SOURCE).fit(epochs=3, batch_size=5, warmup_fraction=0.5, on_epoch=told.append)
    assert told == history
    assert [record["epoch"] for record in history] == [1, 2, 3]
    # nine steps, of which four warm up
    assert [record["rate"] for record in history] == pytest.approx([3 / 5, 4 / 5, 1 / 5])
    for record in history:
        assert set(record) == {"epoch", "loss", "accuracy", "labels", "rate", "seconds"}
        assert record["loss"] > 0
        assert 0 <= record["accuracy"] <= 1
        assert record["seconds"] > 0


@pytest.mark.parametrize(
    ("steps", "warmup", "expected"),
    [
        (4, 0.0, [1, 3 / 4, 2 / 4, 1 / 4]),
        (4, 0.5, [1 / 3, 2 / 3, 1, 1 / 2]),
        (1, 0.9, [1]),
        (5, 0.2, [1 / 2, 1, 3 / 4, 2 / 4, 1 / 4]),
        (3, 0.99, [1 / 3, 2 / 3, 1]),
    ],
)
def test_learning_rate_schedule(steps, warmup, expected):
    assert [learning_rate_share(step, steps, warmup) for step in range(steps)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 0, "an integer of at least 1"),
        ("batch_size", 0, "an integer of at least 1"),
        ("learning_rate", 0.0, "a number above 0"),
        ("learning_rate", float("nan"), "a number above 0"),
        ("warmup_fraction", 1.0, "a number from 0 to below 1"),
        ("warmup_fraction", -0.1, "a number from 0 to below 1"),
        ("max_grad_norm", 0, "a number above 0"),
        ("target_loss", -1, "a number of at least 0"),
        ("validation_fraction", 0, "a number between 0 and 1"),
        ("validation_fraction", 1.0, "a number between 0 and 1"),
        ("n_iter_no_change", 0, "an integer of at least 1"),
    ],
)
def test_settings_out_of_range(name, value, expected):
    with pytest.raises(ParameterError, match=f"{name}={value!r}, but it has to be {expected}"):
        Task("gpt2", SOURCE, texts=4).fit(**{name: value})


@pytest.mark.parametrize(
    ("source", "block"),
    [
        ("<soft*2> <text> It was <mask> <soft*3 name=tail>", "tail"),
        ("<text> <soft*2 name=head> It was <mask>, yes <soft>", "#1"),
        ("<text> It was <mask> <soft*3 name=tail>", "tail"),
        ("<text> It was <mask> <soft>", "#1"),
    ],
)
def test_a_slot_without_influence_raises_with_its_name(source, block):
    task = Task("gpt2", source)
    with pytest.raises(ParameterError, match=f"of soft block '{block}' get no gradient"):
        task.fit(epochs=1)


@pytest.mark.parametrize("source", ["<text> It was <mask> <soft*3 name=tail>", "<soft> <text> <mask> <soft>"])
def test_a_masked_model_trains_slots_after_the_mask(source):
    task = Task("bert", source)
    soft, _ = task.fit(epochs=1)
    assert (soft.weight != task.initial).any(-1).all()


def test_a_causal_slot_between_mask_and_text_is_trained():
    task = Task("gpt2", "<text> It was <mask>, <soft*2> I say")
    soft, _ = task.fit(epochs=1)
    assert (soft.weight != task.initial).any(-1).all()


def test_training_stops_below_the_target_loss():
    task = Task("gpt2", SOURCE)
    _, history = task.fit(epochs=8, target_loss=1e9)
    assert len(history) == 1
    _, whole = task.fit(epochs=8)
    assert len(whole) == 8
    losses = [record["loss"] for record in whole]
    limit = sorted(losses)[1] + 1e-6  # reached at the latest by the second-lowest epoch
    _, short = task.fit(epochs=8, target_loss=limit)
    assert len(short) == next(i for i, loss in enumerate(losses, 1) if loss < limit)
    assert without_seconds(short) == without_seconds(whole)[: len(short)]


@pytest.mark.parametrize(("rate", "n_iter_no_change", "epochs"), [(2.0, 1, 10), (2.0, 2, 10), (0.02, 3, 4)])
def test_early_stopping_keeps_the_best_vectors(rate, n_iter_no_change, epochs):
    task = Task("gpt2", SOURCE, texts=24)
    soft, history = task.fit(
        epochs=epochs, learning_rate=rate, early_stopping=True, n_iter_no_change=n_iter_no_change, seed=1
    )
    losses = [record["validation_loss"] for record in history]
    best = losses.index(min(losses))
    assert len(history) == min(epochs, best + 1 + n_iter_no_change)
    _, held_out = train_test_split(np.arange(24), test_size=0.25, stratify=task.targets, random_state=1)
    with torch.no_grad():
        scores = [models.word_scores(task.backbone.model, task.prompts[i], task.words, soft.weight) for i in held_out]
    scores = task.verbalizer.label_scores(torch.stack(scores))
    loss = cross_entropy(scores, torch.tensor(task.targets)[held_out])
    assert float(loss) == pytest.approx(min(losses), rel=1e-3)


def test_too_few_examples_to_hold_some_out():
    with pytest.raises(ParameterError, match="cannot hold out a share of 2 examples"):
        Task("gpt2", SOURCE, texts=2).fit(early_stopping=True)


def history_of(*losses):
    return [{"epoch": i, "loss": loss} for i, loss in enumerate(losses, 1)]


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ((0.7, 0.8), r"did not fall \(0.700 nats in the first epoch, 0.800 in the last\)"),
        ((0.7, 0.5, 0.699), r"hardly fell \(0.700 nats in the first epoch, 0.699 in the last\)"),
    ],
)
def test_a_fit_that_learnt_nothing_warns(losses, message):
    with pytest.warns(ConvergenceWarning, match=message):
        warn_if_stuck(history_of(*losses), target_loss=0.2)


@pytest.mark.parametrize("losses", [(0.7, 0.3), (0.7,), (0.1, 0.1)])
def test_a_fit_that_learnt_does_not_warn(losses):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_stuck(history_of(*losses), target_loss=0.2)
