"""Selection of words, against the formulas of the paper computed word by word."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.label_words import among_words, frequent, log_priors, relevance, relevant

OWNERS = np.repeat([0, 1, 2], [5, 3, 4])
FIRSTS = [0, 5, 8]


def some_scores(seed, texts=6):
    return np.random.default_rng(seed).normal(scale=2, size=(texts, len(OWNERS)))


seeds = st.integers(0, 2**31)


@settings(deadline=None, max_examples=50)
@given(seed=seeds)
def test_constants_of_rows_make_no_difference(seed):
    scores = some_scores(seed)
    log_probs = among_words(scores)
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1)
    np.testing.assert_allclose(log_probs - log_probs[:, :1], scores - scores[:, :1])
    np.testing.assert_allclose(among_words(scores + np.arange(6)[:, None] * 50 - 100), log_probs)


def test_the_prior_is_the_mean_probability():
    log_probs = among_words(some_scores(0))
    np.testing.assert_allclose(np.exp(log_priors(log_probs)), np.exp(log_probs).mean(0))
    # far below what a probability can hold
    assert log_priors(np.array([[-2000.0], [-2000.0]])) == pytest.approx(-2000)


@settings(deadline=None, max_examples=50)
@given(seed=seeds, share=st.sampled_from([0, 0.2, 0.34, 0.5, 0.75, 0.99]))
def test_the_rarest_words_of_each_label_are_dropped(seed, share):
    priors = np.random.default_rng(seed).random(len(OWNERS))
    keep = frequent(priors, OWNERS, share)
    for label, first in enumerate(FIRSTS):
        own = [i for i in range(len(OWNERS)) if OWNERS[i] == label]
        ranked = sorted(own, key=lambda i: priors[i])
        gone = set(ranked[: int(share * len(own))]) - {first}
        assert {i for i in own if not keep[i]} == gone


def by_hand(log_probs):
    """R(v) of the paper: cosines with the names of the labels, the own one over the mean of the others."""
    probabilities = np.exp(log_probs)

    def cosine(v, u):
        a, b = probabilities[:, v], probabilities[:, u]
        return a @ b / np.sqrt((a @ a) * (b @ b))

    found = []
    for v, own in enumerate(OWNERS):
        others = [cosine(v, FIRSTS[y]) for y in range(3) if y != own]
        found.append(cosine(v, FIRSTS[own]) * (3 - 1) / sum(others))
    return found


@settings(deadline=None, max_examples=50)
@given(seed=seeds)
def test_relevance(seed):
    log_probs = among_words(some_scores(seed))
    expected = by_hand(log_probs)
    np.testing.assert_allclose(relevance(log_probs, OWNERS), expected)
    np.testing.assert_allclose(relevance(log_probs - 900, OWNERS), expected)  # rare words count as common ones do
    keep = relevant(log_probs, OWNERS, 1.2)
    assert [i for i in range(len(OWNERS)) if keep[i]] == [
        i for i in range(len(OWNERS)) if expected[i] >= 1.2 or i in FIRSTS
    ]
    assert relevant(log_probs, OWNERS, 0).all()


def test_a_word_of_the_wrong_label_is_found():
    """Texts that favour one side: a word that rises with the other side's name is out of place."""
    side = np.array([1, 1, -1, -1])
    scores = np.stack([side, side, -side, -side, -side, side], 1) * 1.0
    np.testing.assert_array_equal(
        relevant(among_words(scores), [0, 0, 0, 1, 1, 1], 1.0), [True, True, False, True, True, False]
    )
