"""Invariant 9: an interrupted fit, resumed, ends where an uninterrupted one does."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from support.training_task import Task

from softcloze.errors import CheckpointError
from softcloze.training import Checkpoint

SOURCE = "<text> <soft*2> It was <mask>"
EPOCHS = 4


def stop_at(epoch):
    def on_epoch(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return on_epoch


def without_seconds(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


@pytest.mark.parametrize(
    "way", [{}, {"average_last_epochs": 3}, {"early_stopping": True}], ids=["plain", "mean", "stopping"]
)
@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_interrupted_after_any_one_epoch(tmp_path, architecture, way):
    task = Task(architecture, SOURCE)
    options = {"epochs": EPOCHS, "learning_rate": 0.5, "n_iter_no_change": 2, **way}
    expected, history = task.fit(**options)
    for epoch in range(1, len(history) + 1):
        checkpoint = Checkpoint(tmp_path / "progress", "0123456789abcdef0123")
        with pytest.raises(KeyboardInterrupt):
            task.fit(**options, checkpoint=checkpoint, on_epoch=stop_at(epoch))
        assert [file.name for file in checkpoint.path.parent.iterdir()] == ["fit-0123456789abcdef.safetensors"]
        told = []
        soft, resumed = task.fit(**options, checkpoint=checkpoint, on_epoch=told.append)
        assert torch.equal(soft.weight, expected.weight)
        assert without_seconds(resumed) == without_seconds(history)
        assert [record["epoch"] for record in told] == list(range(epoch + 1, len(history) + 1))
        assert list(checkpoint.path.parent.iterdir()) == []


def test_interrupted_at_every_epoch_of_the_same_fit(tmp_path):
    task = Task("gpt2", SOURCE)
    expected, history = task.fit(epochs=EPOCHS)
    checkpoint = Checkpoint(tmp_path, "a" * 64)
    for epoch in range(1, EPOCHS):
        with pytest.raises(KeyboardInterrupt):
            task.fit(epochs=EPOCHS, checkpoint=checkpoint, on_epoch=stop_at(epoch))
    soft, resumed = task.fit(epochs=EPOCHS, checkpoint=checkpoint)
    assert torch.equal(soft.weight, expected.weight)
    assert without_seconds(resumed) == without_seconds(history)


def test_interrupted_in_the_middle_of_an_epoch(tmp_path, monkeypatch):
    task = Task("gpt2", SOURCE)
    expected, _ = task.fit(epochs=EPOCHS)
    checkpoint = Checkpoint(tmp_path, "a" * 64)
    calls = []
    batch = task.scorer.batch

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 5:  # three steps an epoch
            raise KeyboardInterrupt
        return batch(*arguments, **options)

    monkeypatch.setattr(task.scorer, "batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        task.fit(epochs=EPOCHS, checkpoint=checkpoint)
    soft, _ = task.fit(epochs=EPOCHS, checkpoint=checkpoint)
    assert torch.equal(soft.weight, expected.weight)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_changes_nothing(tmp_path):
    task = Task("gpt2", SOURCE)
    assert torch.equal(task.fit()[0].weight, task.fit(checkpoint=Checkpoint(tmp_path / "a" / "b", "a" * 64))[0].weight)


def test_different_fits_share_a_folder(tmp_path):
    assert Checkpoint(tmp_path, "a" * 64).path != Checkpoint(tmp_path, "b" * 64).path
    assert Checkpoint(tmp_path, "a" * 64).load() is None


def truncated(path):
    path.write_bytes(path.read_bytes()[:-10])


def emptied(path):
    path.write_bytes(b"")


def garbled(path):
    path.write_bytes(b"not a checkpoint at all")


def without_history(path):
    save_file({"weight": torch.zeros(2, 3)}, path)


def with_broken_history(path):
    save_file({"weight": torch.zeros(2, 3)}, path, metadata={"history": "[{"})


def without_tensors(path):
    save_file({"weight": torch.zeros(2, 3)}, path, metadata={"history": '[{"epoch": 1, "loss": 1.0}]'})


@pytest.mark.parametrize("damage", [truncated, emptied, garbled, without_history, with_broken_history, without_tensors])
def test_a_damaged_checkpoint_names_its_file(tmp_path, damage):
    task = Task("gpt2", SOURCE)
    checkpoint = Checkpoint(tmp_path, "a" * 64)
    with pytest.raises(KeyboardInterrupt):
        task.fit(checkpoint=checkpoint, on_epoch=stop_at(1))
    damage(checkpoint.path)
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        task.fit(checkpoint=checkpoint)
    assert str(checkpoint.path) in str(caught.value)
    assert "delete it to start this fit again" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
