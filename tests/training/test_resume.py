"""Invariant 9: an interrupted fit, resumed, ends where an uninterrupted one does."""

import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from support import models
from support.training_task import Task, interrupt_at, without_seconds

from softcloze import Backbone, MultiLabelPromptClassifier, PromptClassifier
from softcloze.errors import CheckpointError, FileError
from softcloze.training import Checkpoint

SOURCE = "<text> <soft*2> It was <mask>"
EPOCHS = 4


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
            task.fit(**options, checkpoint=checkpoint, on_epoch=interrupt_at(epoch))
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
            task.fit(epochs=EPOCHS, checkpoint=checkpoint, on_epoch=interrupt_at(epoch))
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


def test_interrupted_after_any_one_step(tmp_path, monkeypatch):
    monkeypatch.setattr("softcloze.training.checkpoint.SECONDS", 0)
    task = Task("gpt2", SOURCE)
    expected, history = task.fit(epochs=2, average_last_epochs=1)
    for last in range(1, 7):

        def stop(done, total, last=last):
            assert total == 6
            if done == last:
                raise KeyboardInterrupt

        steps = []
        checkpoint = Checkpoint(tmp_path, "a" * 64)
        with pytest.raises(KeyboardInterrupt):
            task.fit(epochs=2, average_last_epochs=1, checkpoint=checkpoint, on_step=stop)
        soft, resumed = task.fit(
            epochs=2, average_last_epochs=1, checkpoint=checkpoint, on_step=lambda done, _, s=steps: s.append(done)
        )
        assert steps == [*range(last + 1, 7)]
        assert torch.equal(soft.weight, expected.weight)
        assert without_seconds(resumed) == without_seconds(history)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("multilabel", [False, True])
def test_a_fit_without_a_seed_resumes(tmp_path, multilabel, monkeypatch):
    """The seed is drawn once, and is in the checkpoint."""
    backbone, texts, words = models.backbone("gpt2"), models.SENTENCES[:8], {"neg": "bad", "pos": "good"}
    labels = [["neg"], ["pos"], [], ["neg", "pos"]] * 2 if multilabel else ["neg", "pos"] * 4
    kind = MultiLabelPromptClassifier if multilabel else PromptClassifier
    source = "<soft*2> <text> It was <mask>"
    if not multilabel:
        source = "<demos*2>" + source
    clf = kind(backbone, source, words, epochs=3, soft_init="vocabulary").set_params(
        training__checkpoint=tmp_path, training__target_loss=0.0
    )
    with pytest.raises(KeyboardInterrupt):
        clone(clf).set_params(training__on_epoch=interrupt_at(2)).fit(texts, labels)
    told = []
    resumed = clone(clf).set_params(training__on_epoch=told.append).fit(texts, labels)
    assert [record["epoch"] for record in told] == [3]
    assert not [*tmp_path.iterdir()]
    whole = clone(clf).set_params(random_state=resumed.prompt_.training["seed"]).fit(texts, labels)
    assert torch.equal(resumed.prompt_.vectors["#1"], whole.prompt_.vectors["#1"])
    seeds = {clone(clf).fit(texts, labels).prompt_.training["seed"] for _ in range(2)}
    assert len(seeds) == 2  # drawn anew for a new fit


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_progress_of_other_weights_is_not_resumed(tmp_path):
    texts, labels, words = models.SENTENCES[:8], ["neg", "pos"] * 4, {"neg": "bad", "pos": "good"}
    clf = PromptClassifier(models.backbone("gpt2"), "<soft*2> <text> It was <mask>", words, random_state=0)
    clf.set_params(training__checkpoint=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        clone(clf).set_params(training__on_epoch=interrupt_at(2)).fit(texts, labels)
    other = Backbone(models.model("gpt2", seed=1), models.tokenizer("gpt2"), models.backbone("gpt2").name)
    told = []
    with pytest.warns(UserWarning, match="holds the progress of a fit with another model or other initial vectors"):
        clone(clf).set_params(model=other, training__on_epoch=told.append).fit(texts, labels)
    assert [record["epoch"] for record in told] == [1, 2, 3]


@pytest.mark.parametrize("checkpoint", ["/proc/progress", "file/progress"])
def test_a_folder_that_cannot_be_written_is_told_before_a_model_is_loaded(tmp_path, monkeypatch, checkpoint):
    """ultralytics/ultralytics#14558"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    clf = PromptClassifier("no/such/model", "<soft*2> <text> It was <mask>", {"neg": "bad", "pos": "good"})
    with pytest.raises(FileError, match=f"cannot write {checkpoint}"):
        clf.set_params(training__checkpoint=checkpoint).fit(["a", "b"], ["neg", "pos"])


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


def of_other_types(path):
    state = {"format": "softcloze fit 1", "digest": "", "seed": -1, "history": [[]], "epoch": {"steps": "1"}}
    save_file({"weight": torch.zeros(2, 3)}, path, metadata={"state": json.dumps(state)})


def of_other_records(path):
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
    save_file(tensors, path, metadata={"state": json.dumps({**state, "history": [{"epoch": 1}]})})


def nested(path):
    save_file({}, path, metadata={"state": "[" * 100_000})


def not_finite(path):
    tensors = {name: tensor.fill_(torch.nan) for name, tensor in load_file(path).items()}
    with safe_open(path, framework="pt") as file:
        save_file(tensors, path, metadata=file.metadata())


def a_folder(path):
    path.unlink()
    path.mkdir()


def without_tensors(path):
    save_file({"weight": torch.zeros(2, 3)}, path, metadata={"history": '[{"epoch": 1, "loss": 1.0}]'})


DAMAGES = [truncated, emptied, garbled, without_history, with_broken_history, without_tensors]


@pytest.mark.parametrize("damage", [*DAMAGES, of_other_types, of_other_records, nested, not_finite, a_folder])
def test_a_damaged_checkpoint_names_its_file(tmp_path, damage):
    task = Task("gpt2", SOURCE)
    checkpoint = Checkpoint(tmp_path, "a" * 64)
    with pytest.raises(KeyboardInterrupt):
        task.fit(checkpoint=checkpoint, on_epoch=interrupt_at(1))
    damage(checkpoint.path)
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        task.fit(checkpoint=checkpoint)
    assert str(checkpoint.path) in str(caught.value)
    assert "delete it to start this fit again" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
