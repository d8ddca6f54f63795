"""The choice of members: a probe beside prompts, where cross-validation says so."""

import numpy as np
import pytest
from scipy.special import log_softmax
from support import models

from softcloze.automatic.members import choose_members
from softcloze.automatic.selection import choose_trials
from softcloze.automatic.trials import Trial
from softcloze.prompt import Probe, Prompt
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

TARGETS = np.arange(60) % 3
BACKBONE = models.backbone("bert")
LABELS = {"a": "good", "b": "bad", "c": "film"}


def trial(seed, confidence, wrong=(), prompt=None):
    """A trial that gives some examples another label, with noise of its own."""
    scores = np.random.default_rng(seed).normal(size=(60, 3)) * 0.3
    scores[np.arange(60), np.where(np.isin(np.arange(60), wrong), (TARGETS + 1) % 3, TARGETS)] += confidence
    if prompt is None:
        prompt = Prompt(
            Template(f"<text> {seed} <mask>"), Verbalizer(LABELS), BACKBONE.name, BACKBONE.fingerprint, head="linear"
        )
    return Trial(prompt, log_softmax(scores, axis=1), TARGETS, np.ones(60), tokens=20.0)


def probe_trial(seed, confidence, wrong=()):
    zeros = models.model("bert").get_input_embeddings().weight[:3, :5].detach()
    probe = Probe(("a", "b", "c"), ("text",), "tiny", {}, 64, zeros, zeros[:, 0])
    return trial(seed, confidence, wrong, probe)


def log_loss(trials, weights):
    """By hand: the mean of log-probabilities, normalised."""
    mean = sum(weight * trial.log_probabilities for trial, weight in zip(trials, weights, strict=True))
    probabilities = np.exp(mean) / np.exp(mean).sum(1, keepdims=True)
    return -np.log(probabilities[np.arange(60), TARGETS]).mean()


def test_without_a_probe_it_is_the_choice_among_prompts():
    prompts = [trial(seed, 2.0) for seed in range(5)]
    choice = choose_members(prompts, None, 4)
    assert choice.trials == choose_trials(prompts, 4)
    assert choice.combination.weights == pytest.approx([1 / len(choice.trials)] * len(choice.trials))
    assert choice.log_loss == pytest.approx(log_loss(choice.trials, choice.combination.weights))


def test_a_better_probe_does_not_displace_prompts_that_err_elsewhere():
    prompts, probe = [trial(1, 2.0, range(0, 18)), trial(2, 2.0, range(6, 24))], probe_trial(3, 2.5, range(40, 48))
    assert choose_trials([*prompts, probe], 4) == [probe]  # the others are worse by more than two standard errors
    choice = choose_members(prompts, probe, 4)
    assert choice.trials[-1] is probe and len(choice.trials) > 1
    assert choice.combination.weights[-1] == 0.5 and sum(choice.combination.weights) == pytest.approx(1)
    assert choice.log_loss == pytest.approx(log_loss(choice.trials, choice.combination.weights))
    assert choice.log_loss < min(probe.log_loss, log_loss(prompts, [0.5, 0.5]))


def test_a_probe_that_knows_nothing_takes_no_part():
    prompts, probe = [trial(1, 3.0), trial(2, 3.0)], probe_trial(3, 0.0)
    assert probe not in choose_members(prompts, probe, 4).trials


def test_a_single_member_is_the_simplest_within_one_standard_error():
    prompts, probe = [trial(1, 1.0)], probe_trial(2, 3.0)
    assert choose_members(prompts, probe, 1).trials == [probe]
