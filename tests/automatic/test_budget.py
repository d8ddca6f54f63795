"""A fit ends within its budget, whatever each part takes; by a clock that the parts of a fit move on."""

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import models

from softcloze import AutoPromptClassifier, PromptClassifier
from softcloze.automatic import budget, race, trials
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
    """Replace forward passes and heads by work that takes a known time; returns the numbers of examples read."""
    read, slower, build = [], count(), CompiledPrompt.__init__

    def built(self, *args, **options):
        build(self, *args, **options)
        clock[0] += COMPILING

    def features(self, prompts, soft):
        read.append(len(prompts))
        clock[0] += len(prompts) * 0.1 * (1 + 0.05 * (next(slower) % 5))
        return torch.zeros(len(prompts), self.scorer.n_features)

    def judged(task, proposal, features, label_features):
        clock[0] += 0.002 * len(task.targets) ** 2
        logs = np.log(np.where(np.eye(2)[task.targets], 0.9, 0.1))
        prompt = Prompt(proposal.template, proposal.verbalizer, task.backbone.name, task.backbone.fingerprint)
        return [trials.Trial(prompt, logs, task.targets, task.weights)]

    monkeypatch.setattr(CompiledPrompt, "__init__", built)
    monkeypatch.setattr(CompiledPrompt, "features", features)
    monkeypatch.setattr(race, "hard_trials", judged)
    monkeypatch.setattr(race, "FIRST", 10)
    return read


def test_a_fit_ends_within_its_budget_and_uses_it(clock, work):
    tried = []
    for seconds in (20, 23, 26, 30, 40, 60):
        clock[0] = 0.0
        auto = AutoPromptClassifier(models.backbone("gpt2"), budget=seconds, soft_prompts=0, random_state=0)
        auto.fit(TEXTS, LABELS)
        assert clock[0] <= seconds
        assert auto.trials_.seconds <= seconds
        tried.append(len({(record.template, record.features) for record in auto.trials_.records}))
    assert tried == sorted(tried) and tried[0] >= 1 and tried[-1] > tried[0]


def test_without_a_budget_everything_is_tried(clock, work):
    auto = AutoPromptClassifier(models.backbone("gpt2"), budget=None, soft_prompts=0, random_state=0)
    assert auto.fit(TEXTS, LABELS).trials_.left_out == 0


def test_an_estimate_that_fell_short_widens_the_margin(clock):
    limited = Budget(100)
    limited.judged(10, 1.0, 10, 0.0)
    limited.judged(10, 1.0, 10, 0.0)
    assert limited.allows(100 / 1.25) and not limited.allows(81)
    limited.judged(10, 2.0, 10, 0.0)  # twice as long as expected
    assert limited.reading(10) == pytest.approx(2.0)
    assert limited.allows(50) and not limited.allows(51)
    limited.reserve(20)
    assert limited.allows(40) and not limited.allows(41)


@pytest.mark.parametrize(("seconds", "trainings"), [(10, 1), (100, 4)])
def test_a_soft_prompt_that_would_overrun_stops_after_its_first_training(clock, monkeypatch, seconds, trainings):
    done = []

    def fit(self, X, y, weights):
        done.append(len(X))
        clock[0] += 0.2 * len(X)
        self.prompt_ = None
        return self

    monkeypatch.setattr(PromptClassifier, "fit", fit)
    monkeypatch.setattr(PromptClassifier, "predict_log_proba", lambda self, X: np.zeros((len(X), 2)))
    backbone = models.backbone("gpt2")
    task = trials.Task(backbone, TEXTS[:30], np.arange(30) % 2, np.ones(30), None, seed=0)
    words = Verbalizer({"bad": "bad", "good": "good"})
    prompt = Prompt(Template("<text> It was <mask>"), words, backbone.name, backbone.fingerprint)
    trial = trials.soft_trial(task, prompt, Budget(seconds))
    assert done == [20, 20, 20, 30][:trainings]
    assert (trial is None) == (trainings == 1)
    assert clock[0] <= seconds
