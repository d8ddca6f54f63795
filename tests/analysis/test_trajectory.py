"""The way of soft vectors through training, against what the loop itself holds after each epoch."""

import numpy as np
import pytest
import torch
from support import models, training_task

from softcloze import PromptClassifier
from softcloze.analysis import VectorLog, inspect_soft, trajectory
from softcloze.errors import ParameterError
from softcloze.training import Checkpoint, TrainingSettings

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

WORDS = {"bad": "bad", "good": ["good", "great"]}
TEXTS, LABELS = models.SENTENCES[:8], ["good", "bad"] * 4


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_the_log_has_the_vectors_of_every_epoch(tmp_path, architecture):
    task, log, seen = training_task.Task(architecture, "<soft*2> <text> 总之，很<mask>"), VectorLog(tmp_path), []
    soft = task.soft()

    def on_epoch(record):
        log(record)
        seen.append(soft.weight.detach().clone())

    _, history = task.fit(checkpoint=Checkpoint(tmp_path, "mine"), on_epoch=on_epoch, soft=soft)
    assert log.records == history and len(history) == 3
    assert all(torch.equal(one, other) for one, other in zip(log.vectors, seen, strict=True))
    task.fit(checkpoint=Checkpoint(tmp_path, "mine"), on_epoch=log, epochs=2)
    assert len(log.vectors) == 2  # another fit begins anew


def classifier(folder, template="<soft*2> 总之，<text> It was <mask>", **parameters):
    training = TrainingSettings(target_loss=0.0, checkpoint=folder, on_epoch=VectorLog(folder))
    clf = PromptClassifier(models.backbone("gpt2"), template, WORDS, training=training, random_state=0)
    return clf.set_params(**parameters)


def test_distances(tmp_path):
    clf = classifier(tmp_path, training__average_last_epochs=0).fit(TEXTS, LABELS)
    log, backbone = clf.training.on_epoch, clf.backbone_
    assert torch.equal(log.vectors[-1], clf.prompt_.vectors["#1"])
    tokens = backbone.tokenizer("总之，", add_special_tokens=False)["input_ids"][:2]
    embed = backbone.model.get_input_embeddings()
    with torch.no_grad():
        start = embed(torch.tensor(tokens)).double().numpy()
        unit = np.sqrt(embed(torch.arange(embed.weight.shape[0])).double().square().sum(-1).mean().item())
    path = [start, *(vectors.double().numpy() for vectors in log.vectors)]
    found = trajectory(clf, log)
    for k, (epoch, record) in enumerate(zip(found.epochs, clf.history_, strict=True), start=1):
        assert (epoch.number, epoch.loss, epoch.accuracy) == (k, record["loss"], record["accuracy"])
        np.testing.assert_allclose(epoch.step, np.linalg.norm(path[k] - path[k - 1], axis=1) / unit, atol=1e-6)
        np.testing.assert_allclose(epoch.moved, np.linalg.norm(path[k] - start, axis=1) / unit, atol=1e-6)
        assert max(epoch.step) < 2 * 0.04  # two steps of at most the learning rate, as the unit promises
    np.testing.assert_allclose(found.epochs[-1].moved, [vector.moved for vector in inspect_soft(clf).vectors])


def test_a_fit_that_goes_on(tmp_path):
    class InterruptedFitError(Exception):
        pass

    def stop(record):
        if record["epoch"] == 1:
            raise InterruptedFitError

    with pytest.raises(InterruptedFitError):
        classifier(tmp_path, training__on_epoch=stop).fit(TEXTS, LABELS)
    clf = classifier(tmp_path).fit(TEXTS, LABELS)
    later = trajectory(clf, clf.training.on_epoch).epochs
    whole = classifier(tmp_path).fit(TEXTS, LABELS)
    epochs = trajectory(whole, whole.training.on_epoch).epochs
    assert [epoch.number for epoch in later] == [2, 3]
    assert later[0].step is None and later[1].step == epochs[2].step
    assert [epoch.moved for epoch in later] == [epoch.moved for epoch in epochs[1:]]


def test_where_vectors_start_may_not_be_known(tmp_path):
    clf = classifier(tmp_path, soft_init="vocabulary").fit(TEXTS, LABELS)
    epochs = trajectory(clf, clf.training.on_epoch).epochs
    assert [epoch.moved for epoch in epochs] == [None] * 3 and epochs[0].step is None
    assert all(epoch.moved is not None for epoch in trajectory(clf, clf.training.on_epoch, TEXTS).epochs)


def test_mistakes(tmp_path):
    with pytest.raises(ParameterError, match=r"has no checkpoint of this fit; give the classifier checkpoint="):
        classifier(tmp_path, training__checkpoint=None).fit(TEXTS, LABELS)
    with pytest.raises(ParameterError, match="trains no input embeddings of soft slots"):
        classifier(tmp_path / "head", "<text> <mask>", head="warp").fit(TEXTS, LABELS)
    clf = classifier(tmp_path, training__on_epoch=None).fit(TEXTS, LABELS)
    with pytest.raises(ParameterError, match="the log is not of this fit"):
        trajectory(clf, VectorLog(tmp_path))
    with pytest.raises(ParameterError, match="log=None, but it has to be a VectorLog"):
        trajectory(clf, None)
    with pytest.raises(ParameterError, match="folder=3, but it has to be a path"):
        VectorLog(3)
