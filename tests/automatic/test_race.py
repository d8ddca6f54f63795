"""Successive halving: what is judged by how many examples, and what is computed once."""

from types import SimpleNamespace

import numpy as np
import pytest
from support import models

from softcloze.automatic import budget, feature_store, race
from softcloze.automatic.budget import Budget
from softcloze.automatic.proposals import propose
from softcloze.automatic.trials import Task

pytestmark = pytest.mark.usefixtures("few_folds")


@pytest.fixture
def rows_read(monkeypatch):
    """Numbers of examples whose features are computed, in order."""
    counts, compute = [], feature_store.score_together

    def counted(members):
        counts.append(len({prompt.chunks for member in members for prompt in member.prompts}))
        return compute(members)

    monkeypatch.setattr(feature_store, "score_together", counted)
    return counts


def task_of(backbone, count):
    texts = [f"{sentence} {number}" for number, sentence in enumerate(models.SENTENCES * count)][:count]
    targets = np.arange(count) % 2
    return Task(backbone, texts, targets, np.ones(count), None, seed=0)


def run(task, budget=None, soft=0, members=4):
    proposals = propose(["bad", "good"], task.examples, task.backbone)[:4]
    running = race.Race(task, Budget(budget), lambda trial: None)
    return running, running.run(proposals, soft, members)


def test_each_example_is_read_once_by_each_template_and_half_of_the_templates_read_on(
    bert_tiny, rows_read, monkeypatch
):
    monkeypatch.setattr(race, "FIRST", 16)
    monkeypatch.setattr(race, "CHUNK", 16)
    running, trials = run(task_of(bert_tiny, 40))
    # 16 examples and two label words by three templates, at one of which the mean of the states takes other names of
    # the labels; 16 more examples by the best two proposals, and the last 8 by the best one
    assert rows_read == [18, 20, 18] + [16] * 2 + [8]
    assert {len(trial.targets) for trial in trials} == {40}
    assert sorted(len(of_proposal[0].targets) for of_proposal in running.trials.values()) == [16, 16, 32, 40]


def test_without_time_one_template_is_judged_by_two_examples_of_each_label(bert_tiny, rows_read, monkeypatch):
    monkeypatch.setattr(race, "CHUNK", 4)
    running, trials = run(task_of(bert_tiny, 40), budget=1e-9, soft=1)
    assert rows_read == [6]
    assert running.left_out == 3
    assert {len(trial.targets) for trial in trials} == {4}
    assert not any(trial.prompt.vectors for trial in trials)


def test_within_a_budget_few_examples_tell_first_how_long_the_texts_take(bert_tiny, rows_read):
    run(task_of(bert_tiny, 40), budget=3600)
    assert rows_read[:6] == [4 + 2, 8, 8, 8, 8, 4] and sum(rows_read) == 3 * 42 + 2


def test_time_that_is_left_goes_to_further_examples_of_what_the_result_is_made_of(bert_tiny, monkeypatch):
    """The second round does not fit, and a part of it does."""
    monkeypatch.setattr(race, "FIRST", 16)
    monkeypatch.setattr(race, "CHUNK", 4)
    now = [0.0]
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: now[0]))
    compute = feature_store.score_together

    def timed(members):
        now[0] += sum({prompt.chunks: 1.0 for member in members for prompt in member.prompts}.values())
        return compute(members)

    monkeypatch.setattr(feature_store, "score_together", timed)
    running, trials = run(task_of(bert_tiny, 64), budget=60, members=1)
    (count,) = {len(trial.targets) for trial in trials}
    assert 32 < count < 64 and 45 < now[0] <= 60
    assert running.left_out > 0


def test_every_beginning_of_the_order_has_as_many_of_each_label_as_there_are():
    targets = np.array([0] * 50 + [1] * 5 + [2] * 20)
    order = race.balanced_order(targets, seed=3)
    assert sorted(order) == list(range(75))
    assert np.bincount(targets[order[:15]]).tolist() == [5, 5, 5]
    assert np.bincount(targets[order[:45]]).tolist() == [20, 5, 20]
