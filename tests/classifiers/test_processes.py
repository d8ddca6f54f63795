"""One fit in the processes of a launcher such as torchrun."""

import pytest
from support import models

from softcloze import (
    AutoPromptClassifier,
    MultiLabelPromptClassifier,
    MultiTaskPrompt,
    ProbeClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
)
from softcloze.errors import ProcessError
from softcloze.experiments import compare

TEXTS, LABELS = models.SENTENCES[:4], ["good", "bad"] * 2
WORDS = {"bad": "bad", "good": "good"}
SOURCE = "<soft*2> <text> It was <mask>"
ALONE = PromptClassifier("no/such/model", SOURCE, WORDS)
SHARED = {
    "classifier": lambda: ALONE.fit(TEXTS, LABELS),
    "partial": lambda: ALONE.partial_fit(TEXTS, LABELS),
    "probabilities": lambda: ALONE.fit_probabilities(TEXTS, [[0.5, 0.5]] * 4),
    "multi-label": lambda: MultiLabelPromptClassifier("no/such/model", SOURCE, WORDS).fit(
        TEXTS, [["good"], ["bad"], [], ["good"]]
    ),
    "generator": lambda: PromptGenerator("no/such/model", "<soft*2> <text> <answer>").fit(TEXTS, LABELS),
    "tasks": lambda: MultiTaskPrompt(
        {name: PromptClassifier("no/such/model", "<soft*2 name=all> <text> <mask>", WORDS) for name in "ab"},
        shared="all",
    ).fit({"a": (TEXTS, LABELS), "b": (TEXTS, LABELS)}),
}
ALONE_IN_EACH = {
    "ensemble": lambda: PromptEnsemble([ALONE]).fit(TEXTS, LABELS),
    "probe": lambda: ProbeClassifier("no/such/model").fit(TEXTS, LABELS),
    "automatic": lambda: AutoPromptClassifier("no/such/model").fit(TEXTS, LABELS),
    "compare": lambda: compare({"one": ALONE}, "no-such-data"),
}


@pytest.mark.parametrize("name", ALONE_IN_EACH)
def test_several_processes_would_each_train_alone(monkeypatch, name):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessError, match=r"this is one of 2 that a launcher started \(WORLD_SIZE=2\): .*without"):
        ALONE_IN_EACH[name]()


@pytest.mark.parametrize("name", SHARED)
def test_processes_that_cannot_be_connected_do_not_train(monkeypatch, name):
    for variable in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessError, match=r"\(RANK, MASTER_ADDR, MASTER_PORT not set\): start them with torchrun or"):
        SHARED[name]()


def test_a_process_that_a_process_started_does_not_join(monkeypatch):
    """The workers of n_jobs=2 have the variables of the process that starts them."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("multiprocessing.parent_process", object)
    with pytest.raises(ProcessError, match="none of those that a launcher started, but was started by one of them"):
        ALONE.fit(TEXTS, LABELS)


def test_one_process_of_a_launcher_trains_and_several_score(monkeypatch):
    hard = PromptClassifier(models.backbone("bert"), "<text> It was <mask>.", WORDS)
    monkeypatch.setenv("WORLD_SIZE", "1")
    hard.fit(TEXTS, LABELS)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert hard.predict(TEXTS).shape == (4,)


@pytest.mark.parametrize("value", ["two", "0", "-1", "²"])
def test_a_wrong_variable_names_itself(monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(ProcessError, match=f"WORLD_SIZE is '{value}'.*unset it"):
        ALONE.fit(TEXTS, LABELS)
