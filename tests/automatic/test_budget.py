"""A fit ends within its budget, whatever each part takes; by a clock that the parts of a fit move on."""

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import models

from softcloze import AutoPromptClassifier, PromptClassifier
from softcloze.automatic import budget, feature_store, race, trials
from softcloze.automatic.budget import Budget
from softcloze.prompt import CompiledPrompt, Prompt
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

TEXTS = [f"{sentence} {number}" for number, sentence in enumerate(models.SENTENCES[:8] * 5)]
LABELS = ["good", "bad"] * 20
COMPILING = 0.2  # seconds


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed, in a list."""
    now = [0.0]
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def work(clock, monkeypatch):
    """Replace forward passes and heads by work that takes a known time; returns when the machine's speed halves."""
    halves, slower, build = [float("inf")], count(), CompiledPrompt.__init__

    def pass_time(seconds):
        fast = min(seconds, max(0.0, halves[0] - clock[0]))
        clock[0] += fast + 2 * (seconds - fast)

    def built(self, *args, **options):
        build(self, *args, **options)
        pass_time(COMPILING)

    def features(members):
        sequences = {prompt.chunks for member in members for prompt in member.prompts}
        pass_time(len(sequences) * 0.1 * (1 + 0.05 * (next(slower) % 5)))
        return [torch.zeros(len(member.prompts), member.scorer.n_features) for member in members]

    def judged(task, proposal, features, label_features):
        pass_time(0.002 * len(task.targets) ** 2)
        logs = np.log(np.where(np.eye(2)[task.targets], 0.9, 0.1))
        prompt = Prompt(proposal.template, proposal.verbalizer, task.backbone.name, task.backbone.fingerprint)
        return [trials.Trial(prompt, logs, task.targets, task.weights, tokens=20.0)]

    monkeypatch.setattr(CompiledPrompt, "__init__", built)
    monkeypatch.setattr(feature_store, "score_together", features)
    monkeypatch.setattr(race, "hard_trials", judged)
    monkeypatch.setattr(race, "FIRST", 10)
    monkeypatch.setattr(race, "CHUNK", 4)
    return halves


def fit(seconds):
    auto = AutoPromptClassifier(models.backbone("gpt2"), budget=seconds, soft_prompts=0, random_state=0)
    return auto.fit(TEXTS, LABELS).trials_


def test_a_fit_ends_within_its_budget_and_uses_it(clock, work):
    tried = []
    for seconds in (20, 23, 26, 30, 40, 60):
        clock[0] = 0.0
        table = fit(seconds)
        assert clock[0] <= seconds and table.seconds <= seconds
        # a template more would not have fitted: 5 s of forward passes, 5 s of heads in all rounds, and as much in hand
        assert table.left_out == 0 or clock[0] > seconds - 15
        tried.append(len({(record.template, record.features) for record in table.records}))
    assert tried == sorted(tried) and tried[0] >= 1 and tried[-1] > tried[0]


def test_a_fit_ends_within_its_budget_where_the_speed_of_the_machine_halves_midway(clock, work):
    for seconds in (20, 30, 60):
        for work[0] in np.linspace(0.1, 1, 10) * seconds:
            clock[0] = 0.0
            fit(seconds)
            assert clock[0] <= seconds


def test_without_a_budget_everything_is_tried(clock, work):
    auto = AutoPromptClassifier(models.backbone("gpt2"), budget=None, soft_prompts=0, random_state=0)
    assert auto.fit(TEXTS, LABELS).trials_.left_out == 0


def test_time_is_expected_by_what_was_slowest_of_late(clock):
    limited = Budget(100)
    assert limited.reading(1000) == limited.fitting(10) == 0
    limited.read(10, 5.0)  # what only comes once
    limited.read(10, 1.0)
    limited.read(10, 1.0)
    assert limited.reading(20) == pytest.approx(2.0)
    limited.read(10, 4.0)
    assert limited.reading(10) == pytest.approx(4.0)
    limited.read(10, 1.0)
    assert limited.reading(10) == pytest.approx(7 / 4)
    limited.fitted(10, 3.0)
    assert limited.fitting(20) == pytest.approx(12.0)
    assert limited.allows(100) and not limited.allows(100, step=1) and not limited.allows(60, share=0.5)
    limited.reserve(20)
    assert limited.allows(80) and not limited.allows(81)


@pytest.mark.parametrize(("seconds", "trainings"), [(10, 1), (100, 4)])
def test_a_soft_prompt_that_would_overrun_stops_after_its_first_training(clock, monkeypatch, seconds, trainings):
    done = []

    def fit(self, X, y, weights):
        done.append(len(X))
        clock[0] += 0.2 * len(X)
        self.prompt_ = None
        return self

    monkeypatch.setattr(PromptClassifier, "fit", fit)
    monkeypatch.setattr(trials, "tokens_per_text", lambda members, examples: 20.0)
    monkeypatch.setattr(PromptClassifier, "predict_log_proba", lambda self, X: np.zeros((len(X), 2)))
    backbone = models.backbone("gpt2")
    task = trials.Task(backbone, TEXTS[:30], np.arange(30) % 2, np.ones(30), None, seed=0)
    words = Verbalizer({"bad": "bad", "good": "good"})
    prompt = Prompt(Template("<text> It was <mask>"), words, backbone.name, backbone.fingerprint)
    trial = trials.soft_trial(task, prompt, Budget(seconds))
    assert done == [20, 20, 20, 30][:trainings]
    assert (trial is None) == (trainings == 1)
    assert clock[0] <= seconds
