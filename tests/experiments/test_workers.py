"""Several runs at a time give the same results as one after the other, also if a process dies."""

import copy

import numpy as np
import psutil
import pytest
import torch
from support.random_classifiers import SPLIT, Deadly, Endless, Noisy

from softcloze import PromptClassifier
from softcloze.backbone import Backbone, load_backbone
from softcloze.errors import ParameterError
from softcloze.experiments import Method, Protocol, compare, tfidf
from softcloze.experiments.workers import pickle_methods, unpickle_methods
from softcloze.training import TrainingSettings

WORDS = {"good": "good", "bad": "bad"}
PROTOCOL = Protocol(shots=2, seeds=2, test_rows=10)


class Watcher:
    """Record the progress of a comparison, and interrupt it after a number of runs, as Ctrl-C does."""

    def __init__(self, stop):
        self.stop = stop
        self.events, self.processes = [], set()

    def __call__(self, event):
        self.events.append(event)
        self.processes |= {*psutil.Process().children()}
        if event.done == self.stop:
            raise KeyboardInterrupt


def methods(model):
    """One template with two calibrations, a soft prompt, and a baseline."""
    return [
        Method("hard", PromptClassifier(model, "It was <mask>. <text>", WORDS)),
        Method(
            "soft",
            PromptClassifier(
                model,
                "<soft*2> It was <mask>. <text>",
                WORDS,
                epochs=1,
                training=TrainingSettings(on_epoch=lambda _: 0),
            ),
        ),
        Method("hard, batch", PromptClassifier(model, "It was <mask>. <text>", WORDS, calibration="batch")),
        Method("characters", tfidf("char")),
    ]


@pytest.mark.slow
def test_two_at_a_time_whatever_happens_to_the_processes(bert_tiny, tmp_path):
    """One run kills its process, and another never ends; in one test, because processes start slowly."""
    watcher = Watcher(stop=10)
    troubled = [Method("deadly", Deadly()), *methods(bert_tiny), Method("endless", Endless())]
    with pytest.raises(KeyboardInterrupt):
        compare(troubled, SPLIT, PROTOCOL, processes=2, folder=tmp_path, on_progress=watcher)
    found = watcher.events[-1].comparison

    # the same as one after the other, and in the same files: nothing is left to be measured
    alone = compare(methods(bert_tiny), SPLIT, PROTOCOL)
    runs = [run for run in found.runs if run.method not in ("deadly", "endless")]
    assert [(run.method, run.shots, run.seed, run.error) for run in runs] == [
        (run.method, run.shots, run.seed, None) for run in alone.runs
    ]
    for one, other in zip(runs, alone.runs, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
        assert one.trainable == other.trainable and one.peak_memory > 10_000_000
    assert (found.model, found.parameters) == (alone.model, alone.parameters)
    again = compare(methods(bert_tiny), SPLIT, PROTOCOL, folder=tmp_path)
    assert [run.fit_seconds for run in again.runs] == [run.fit_seconds for run in runs]

    # a process that dies fails only its run
    errors = {(run.method, run.seed): run.error for run in found.runs if run.error is not None}
    assert list(errors) == [("deadly", 1)]
    assert errors["deadly", 1].startswith("WorkerError: the process of this run died of SIGKILL, as happens when mem")

    # the interruption ended the processes at once, and what was finished is kept
    assert len(watcher.processes) >= 3  # two, and one in the place of that which died
    assert not any(process.is_running() and "Process" in " ".join(process.cmdline()) for process in watcher.processes)
    assert len(list(tmp_path.glob("*.safetensors"))) == 9  # of ten that came to an end, one died

    # progress reports all runs under way
    assert watcher.events[0].doing == (("deadly", 2, 0), ("deadly", 2, 1)) and watcher.events[0].done == 0
    assert watcher.events[-1].doing == (("endless", 2, 1),)
    assert all((event.total, len(event.comparison.runs)) == (11, event.done) for event in watcher.events)
    assert all(event.seconds_left > 0 for event in watcher.events if event.done > 1)


def test_backbones_go_by_name(bert_tiny):
    one, other = unpickle_methods(pickle_methods([bert_tiny, bert_tiny]))
    assert one is other is load_backbone("starter:bert-tiny", dtype="float32", device="cpu")
    assert one.fingerprint == bert_tiny.fingerprint
    assert len(pickle_methods(methods(bert_tiny))) < 20_000
    changed = copy.deepcopy(bert_tiny.model)
    with torch.no_grad():
        changed.get_input_embeddings().weight += 1
    for model, name, reason in (
        (bert_tiny.model, "my own model", "goes into a pickle .* which names no files"),
        (changed, "starter:bert-tiny", "that name loads another one, 'starter:bert-tiny'"),
    ):
        own = Backbone(model, bert_tiny.tokenizer, name)
        with pytest.raises(ParameterError, match=rf"(?s)the model '{name}' .*{reason}.*use processes=1"):
            unpickle_methods(pickle_methods(own))


def test_what_cannot_be_sent():
    with pytest.raises(ParameterError, match=r"cannot be pickled for other processes: .*generator.*; use processes=1"):
        pickle_methods(one for one in [1])
    with pytest.raises(ParameterError, match="processes=0, but it has to be an integer of at least 1"):
        compare({"noise": Noisy()}, SPLIT, PROTOCOL, processes=0)
