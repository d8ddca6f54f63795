"""A block that several tasks share, and the batches of several tasks."""

import numpy as np
import pytest
import torch
from support.training_task import Task, options
from torch import nn

from softcloze.soft import SharedBlock
from softcloze.training import Checkpoint, train
from softcloze.training.batches import draw_batches

SOURCE = "<soft*2 name=own> <text> <soft*3 name=task> It was <mask>"


def shared_tasks(*texts, architecture="gpt2", seed=0):
    """Tasks with different examples, their shared vectors, and what is to be trained for each."""
    tasks = [Task(architecture, SOURCE, texts=count) for count in texts]
    vectors = nn.Parameter(tasks[0].soft().by_block()["task"].clone())
    generator = torch.Generator().manual_seed(seed)
    training = []
    for task in tasks:
        soft = task.soft()
        soft.share(SharedBlock("task", vectors, generator))
        training.append(task.training_task(soft))
    return training, vectors


def test_the_vectors_of_a_task():
    (task, _), vectors = shared_tasks(8, 12)
    shared = task.soft.shared
    with torch.no_grad():
        shared.components.normal_()
    slots, components = shared.slots.tolist(), shared.components.tolist()
    expected = task.soft.weight.detach().numpy().copy()
    for slot, vector in enumerate(vectors.tolist()):
        for component, value in enumerate(vector):
            expected[2 + slot, component] = value * (1 + slots[slot][0] * components[0][component])
    np.testing.assert_allclose(task.soft.folded().detach().numpy(), expected, rtol=1e-5)
    task.soft.fold()
    np.testing.assert_allclose(task.soft.weight.detach().numpy(), expected, rtol=1e-5)
    assert task.soft.shared is None


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_the_first_step_is_that_of_the_plain_prompt(architecture):
    training, vectors = shared_tasks(8, 12, architecture=architecture)
    task = training[1]
    plain = Task(architecture, SOURCE, texts=12).soft()
    with task.scorer.backbone.frozen():
        scores, expected = (task.scorer.batch(task.prompts, soft.inputs()) for soft in (task.soft, plain))
        assert torch.equal(scores, expected)
        for result in (scores, expected):
            result.log_softmax(-1)[:, 0].sum().backward()
    gradient, shared = plain.weight.grad[2:], task.soft.shared
    assert torch.equal(vectors.grad, gradient)
    assert torch.equal(task.soft.weight.grad[:2], plain.weight.grad[:2])
    torch.testing.assert_close(shared.components.grad, (shared.slots * vectors * gradient).sum(0, keepdim=True))
    assert not shared.slots.grad.any()


def test_all_tasks_learn_the_shared_vectors_and_each_its_own():
    training, vectors = shared_tasks(8, 12)
    before = vectors.detach().clone()
    history = train(training, **options(average_last_epochs=2))
    assert not torch.allclose(vectors, before, atol=1e-4)
    first, second = (task.soft.by_block() for task in training)
    assert not torch.allclose(first["own"], second["own"], atol=1e-4)
    assert not torch.allclose(first["task"], second["task"], atol=1e-4)
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_the_change_of_a_task_has_rank_one():
    training, vectors = shared_tasks(8, 12)
    train(training, **options())
    for task in training:
        change = task.soft.by_block()["task"] / vectors.detach() - 1
        values = torch.linalg.svdvals(change.double())
        assert values[0] > 1e-3
        assert values[1] < 1e-3 * values[0]


def test_a_step_of_one_task_leaves_the_other_as_it_is():
    training, vectors = shared_tasks(8, 12)
    order = [number for number, _ in draw_batches([range(8), range(12)], 4, seed=0, epoch=0)]

    def stop(done, total):
        if order[done] != order[0]:
            raise KeyboardInterrupt

    untouched = training[1 - order[0]].soft
    before, shared = {name: weight.clone() for name, weight in untouched.trained.items()}, vectors.detach().clone()
    with pytest.raises(KeyboardInterrupt):
        train(training, **options(on_step=stop))
    assert not torch.equal(vectors, shared)
    for name, weight in untouched.trained.items():
        assert torch.equal(weight, before[name]) or name == "shared/vectors"


def test_interrupted_after_any_one_step(tmp_path, monkeypatch):
    monkeypatch.setattr("softcloze.training.checkpoint.SECONDS", 0)
    expected, _ = shared_tasks(4, 8)
    train(expected, **options(average_last_epochs=1))
    for last in (1, 2, 5, 8):
        checkpoint = Checkpoint(tmp_path, "a" * 64)

        def stop(done, total, last=last):
            if done == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(shared_tasks(4, 8)[0], checkpoint=checkpoint, **options(average_last_epochs=1, on_step=stop))
        resumed, _ = shared_tasks(4, 8)
        train(resumed, checkpoint=checkpoint, **options(average_last_epochs=1))
        checkpoint.discard()
        for task, whole in zip(resumed, expected, strict=True):
            assert torch.equal(task.soft.weight, whole.soft.weight)


def test_early_stopping_holds_out_examples_of_each_task():
    training, _ = shared_tasks(8, 12)
    history = train(training, **options(early_stopping=True))
    assert all(record["validation_loss"] > 0 for record in history)


def test_the_batches_of_one_task_are_a_pass_over_its_examples():
    batches = draw_batches([[5, 6, 7, 8, 9]], batch_size=2, seed=3, epoch=1)
    order = np.random.default_rng([3, 1]).permutation([5, 6, 7, 8, 9]).tolist()
    assert batches == [(0, order[:2]), (0, order[2:4]), (0, order[4:])]


def test_a_task_has_batches_by_the_root_of_its_size():
    rows = [range(10), range(1000), range(90)]
    count = np.zeros(3)
    for epoch in range(20):
        batches = draw_batches(rows, batch_size=4, seed=0, epoch=epoch)
        assert len(batches) == 3 + 250 + 23
        for number, batch in batches:
            count[number] += 1
            assert {*batch} <= {*rows[number]}
    shares = np.sqrt([10, 1000, 90])
    np.testing.assert_allclose(count / count.sum(), shares / shares.sum(), atol=0.01)


def test_examples_are_used_up_before_one_comes_again():
    batches = draw_batches([range(6), range(600)], batch_size=2, seed=0, epoch=0)
    small = [row for number, batch in batches for row in batch if number == 0]
    for first in range(0, len(small) - 5, 6):
        assert sorted(small[first : first + 6]) == [*range(6)]
