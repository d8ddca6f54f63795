"""Rankings against a few plain lines that follow the papers' formulas literally."""

import math

import numpy as np
import pytest

from softcloze.label_words.candidates import RANKINGS, lm_bff, petal


def some_log_probs(seed, examples=11, words=7):
    odds = np.random.default_rng(seed).normal(scale=3, size=(examples, 50))
    return (odds - np.logaddexp.reduce(odds, axis=1, keepdims=True))[:, :words]


@pytest.mark.parametrize("seed", range(3))
def test_petal_is_the_balanced_ratio_of_the_paper(seed):
    log_probs, own = some_log_probs(seed), np.arange(11) < 3  # 3 with the label, 8 without
    found = petal(log_probs, own)
    for word in range(7):
        ratio = 0.0  # a weight of 8 / 3 for each example of the label makes both sides equal
        for example in range(11):
            p = math.exp(log_probs[example, word])
            ratio += (8 / 3 if own[example] else -1) * math.log(p / (1 - p))
        assert found[word] == pytest.approx(ratio / 8)


@pytest.mark.parametrize("seed", range(3))
def test_lm_bff_is_the_likelihood_in_the_labels_examples(seed):
    log_probs, own = some_log_probs(seed), np.arange(11) % 2 == 0
    for word, score in enumerate(lm_bff(log_probs, own)):
        total = sum(log_probs[example, word] for example in range(11) if own[example])
        assert score == pytest.approx(total / 6)


def test_petal_is_not_moved_by_more_examples_of_the_others():
    log_probs = some_log_probs(0)
    own = np.arange(11) < 3
    often = np.r_[np.arange(11), np.tile(np.arange(3, 11), 4)]
    np.testing.assert_allclose(petal(log_probs[often], own[often]), petal(log_probs, own))


@pytest.mark.parametrize("method", RANKINGS)
def test_a_certain_word_has_a_finite_score(method):
    found = RANKINGS[method].score(np.array([[0.0, -800.0], [-800.0, 0.0]]), np.array([True, False]))
    assert np.isfinite(found).all() and found[0] > found[1]
