"""Steps of a fit, against plain torch."""

from itertools import chain

import numpy as np
import pytest
import torch
from support import models
from support.training_task import Task
from torch.nn.functional import cross_entropy

from softcloze.backbone import batching
from softcloze.training.features import TrainingFeatures


def plain_fit(task, epochs, learning_rate, warmup, clip):
    """Prompt tuning on all examples at once: full logits, one example and one word at a time, torch's own AdamW."""
    backbone = task.backbone
    weight = torch.nn.Parameter(task.initial.clone())
    rate = learning_rate * float(models_rms(backbone))
    optimizer = torch.optim.AdamW([weight], lr=rate, weight_decay=0.0)
    losses = []
    for step in range(epochs):
        warm = int(warmup * epochs)
        share = (step + 1) / (warm + 1) if step < warm else (epochs - step) / (epochs - warm)
        optimizer.param_groups[0]["lr"] = rate * share
        rows = []
        for prompt in task.prompts:
            words = models.word_scores(backbone.model, prompt, task.words, weight, backbone.prompt_tokenizer.mask_id)
            at, labels = 0, []
            for own in task.verbalizer.words:
                labels.append(words[at : at + len(own)].double().exp().mean().log())
                at += len(own)
            rows.append(torch.stack(labels))
        loss = cross_entropy(torch.stack(rows), torch.tensor(task.targets))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weight], clip)
        optimizer.step()
    backbone.model.zero_grad(set_to_none=True)
    return weight.detach(), losses


def models_rms(backbone):
    embedding = backbone.model.get_input_embeddings()
    with torch.no_grad():
        return embedding(torch.arange(len(embedding.weight))).square().mean().sqrt()


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "gemma3_text"])
@pytest.mark.parametrize(
    "source",
    ["<soft*2> <text> It was <mask>", "<text> <soft*2> It was <mask>", "<text> <soft> so <mask>, <soft> I say"],
)
@pytest.mark.parametrize(("warmup", "clip", "memory"), [(0.0, 1e9, 2**30), (0.5, 0.05, 1)])
def test_a_fit_equals_plain_torch(architecture, source, warmup, clip, memory, monkeypatch):
    monkeypatch.setattr(batching, "ACTIVATION_BYTES", memory)  # batches as a whole, and example by example
    task = Task(architecture, source, texts=4)
    soft, history = task.fit(epochs=4, batch_size=4, learning_rate=0.1, warmup_fraction=warmup, max_grad_norm=clip)
    expected, losses = plain_fit(task, 4, 0.1, warmup, clip)
    moved = (expected - task.initial).abs().max()
    assert moved > 0.05 * task.backbone.embedding_rms
    np.testing.assert_allclose([record["loss"] for record in history], losses, rtol=1e-3, atol=1e-5)
    # Adam divides by the gradient's size: where that is next to nothing, rounding decides
    close = torch.isclose(soft.weight.detach(), expected, atol=1e-3 * float(moved), rtol=1e-3)
    assert close.float().mean() > 0.95


@pytest.mark.parametrize("averaged", [2, 5, 9])
def test_the_mean_of_the_vectors_after_each_step(averaged):
    task = Task("gpt2", "<soft*2> <text> It was <mask>", texts=4)
    soft, after = task.soft(), []
    _, history = task.fit(soft=soft, epochs=5, on_epoch=lambda _: after.append(soft.weight.detach().clone()))
    mean, same = task.fit(epochs=5, average_last_epochs=averaged)
    torch.testing.assert_close(mean.weight.detach(), torch.stack(after[-averaged:]).mean(0))
    assert [record["loss"] for record in same] == [record["loss"] for record in history]


def test_no_mean_if_a_fit_stops_before_its_last_epochs_or_keeps_the_best():
    task = Task("gpt2", "<soft*2> <text> It was <mask>")
    for way in ({"target_loss": 9.0}, {"early_stopping": True}):
        last, history = task.fit(epochs=4, **way)
        assert len(history) == 1 or "early_stopping" in way
        assert torch.equal(task.fit(epochs=4, average_last_epochs=3, **way)[0].weight, last.weight)


@pytest.fixture
def memory_for(monkeypatch):
    """Let the forward or the backward pass of a step run out of memory; returns the sizes of the parts that ran."""

    def limit(examples, direction):
        sizes, forward, backward = [], TrainingFeatures.of, torch.autograd.backward

        def validate():
            if sizes[-1] > examples:
                raise torch.OutOfMemoryError("no memory")

        def counted(self, rows):
            sizes.append(len(rows))
            if direction == "forward":
                validate()
            return forward(self, rows)

        def late(loss):
            backward(loss)  # gradients are there when memory runs out
            validate()

        monkeypatch.setattr(TrainingFeatures, "of", counted)
        monkeypatch.setattr(torch.autograd, "backward", late)
        return sizes

    return limit


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_a_step_that_runs_out_of_memory_runs_in_halves(architecture, direction, memory_for):
    task = Task(architecture, "<soft*2> <text> It was <mask>", texts=10)
    expected, history = task.fit(epochs=2, batch_size=10)
    sizes = memory_for(3, direction)
    soft, again = task.fit(epochs=2, batch_size=10)
    # whole, in halves, in quarters; the second step starts with what fitted
    assert sizes[:2] == [10, 5] and max(sizes[2:]) <= 3 and sum(sizes[2:]) == 20
    np.testing.assert_allclose([r["loss"] for r in again], [r["loss"] for r in history], rtol=1e-5)
    assert [r["accuracy"] for r in again] == [r["accuracy"] for r in history]
    torch.testing.assert_close(soft.weight, expected.weight, rtol=1e-4, atol=1e-5)


def test_gradients_of_parts_add_up_to_those_of_the_step(memory_for):
    task = Task("llama", "<soft*2> <text> It was <mask>", texts=8)
    soft = task.soft()
    features = TrainingFeatures(task.scorer, task.prompts, soft, cache_memory=0)

    def learn(rows):
        torch.autograd.backward(features.of(rows).square().sum())
        return rows

    assert [*map(len, features.learn([[*range(8)]], [soft.weight], learn))] == [8]
    whole, soft.weight.grad = soft.weight.grad, None
    memory_for(2, "backward")
    parts = features.learn([[*range(8)]], [soft.weight], learn)
    assert [*map(len, parts)] == [2, 2, 2, 2] and sorted(chain(*parts)) == [*range(8)]
    torch.testing.assert_close(soft.weight.grad, whole)


def test_a_single_example_that_does_not_fit_raises(memory_for):
    memory_for(0, "forward")
    with pytest.raises(torch.OutOfMemoryError, match="no memory"):
        Task("llama", "<soft*2> <text> It was <mask>", texts=4).fit()
