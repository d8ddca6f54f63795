"""Weights of words: what calibrated ones amount to, and learnt ones against torch's gradient of the plain formula."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.label_words import among_words, calibrated_weights, learn_weights, log_priors
from softcloze.verbalizer import Verbalizer

OWNERS = np.repeat([0, 1, 2], [5, 3, 4])
WORDS = [f"w{i}" for i in range(len(OWNERS))]


def some_scores(seed, texts=12):
    return np.random.default_rng(seed).normal(scale=2, size=(texts, len(OWNERS)))


def verbalizer_of(log_weights):
    table = {y: {WORDS[i]: float(np.exp(log_weights[i])) for i in np.flatnonzero(y == OWNERS)} for y in range(3)}
    return Verbalizer(table, "log_sum_prob")


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31))
def test_calibrated_weights_give_the_log_of_the_mean_calibrated_probability(seed):
    log_probs = among_words(some_scores(seed))
    verbalizer = verbalizer_of(calibrated_weights(log_priors(log_probs), OWNERS))
    probabilities = np.exp(log_probs)
    calibrated = probabilities / probabilities.mean(0)
    expected = np.stack([calibrated[:, y == OWNERS].mean(1) for y in range(3)], 1)
    found = verbalizer.label_scores(torch.tensor(log_probs)).numpy()
    np.testing.assert_allclose(found, np.log(expected), atol=1e-9)
    # every label is as likely as any other on average
    np.testing.assert_allclose(np.exp(found).mean(0), 1)


def test_the_paper_s_second_normalisation_changes_no_probability():
    log_probs = among_words(some_scores(1))
    verbalizer = verbalizer_of(calibrated_weights(log_priors(log_probs), OWNERS))
    calibrated = np.exp(log_probs) / np.exp(log_probs).mean(0)
    calibrated /= calibrated.sum(1, keepdims=True)
    expected = np.stack([calibrated[:, y == OWNERS].mean(1) for y in range(3)], 1)
    expected /= expected.sum(1, keepdims=True)
    found = verbalizer.label_scores(torch.tensor(some_scores(1))).softmax(-1)  # with the constants of the rows
    np.testing.assert_allclose(found, expected, atol=1e-9)


def objective(log_weights, start, scores, targets, penalty):
    """The loss that learning minimises, computed by the verbalizer."""
    parts = (torch.tensor(scores) + log_weights).split([5, 3, 4], -1)
    labels = torch.stack([part.logsumexp(-1) for part in parts], -1)
    loss = torch.nn.functional.cross_entropy(labels, torch.tensor(targets), reduction="sum")
    return loss + penalty / 2 * (log_weights - torch.tensor(start)).square().sum()


@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_learnt_weights_are_a_minimum(seed, penalty):
    scores, start = some_scores(seed), np.random.default_rng(seed + 9).normal(size=len(OWNERS))
    targets = [0, 1, 2] * 4
    found = torch.tensor(learn_weights(scores, OWNERS, targets, start, penalty), requires_grad=True)
    loss = objective(found, start, scores, targets, penalty)
    loss.backward()
    assert found.grad.abs().max() < 1e-3
    assert loss < objective(torch.tensor(start), start, scores, targets, penalty)


def test_a_strong_penalty_keeps_the_weights_where_they_start():
    start = np.linspace(-1, 1, len(OWNERS))
    np.testing.assert_allclose(learn_weights(some_scores(0), OWNERS, [0, 1, 2] * 4, start, 1e6), start, atol=1e-4)


def test_words_of_the_right_label_weigh_more():
    side = np.array([1, 1, -1, -1, 1, -1]) * 2.0
    noise = np.random.default_rng(0).normal(size=6)
    scores = np.stack([side, noise, -side, -noise], 1)  # words 0 and 2 tell the labels apart
    weights = learn_weights(scores, [0, 0, 1, 1], (side < 0).astype(int), np.zeros(4), 0.1)
    assert min(weights[0], weights[2]) > max(weights[1], weights[3])


def test_the_same_again():
    twice = [learn_weights(some_scores(2), OWNERS, [0, 1, 2] * 4, np.zeros(12), 1.0) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
