"""Clusters: against posteriors from their definition, and scores whose bias is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.calibration import Mixture, fit_mixture, mixture
from softcloze.errors import NonFiniteError, ParameterError

# a column for each row of scores: orthonormal, and constants are gone
COORDINATES = {
    2: np.array([[1, -1]]) / np.sqrt([[2]]),
    3: np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]]),
}


def clusters(labels, examples=60, *, seed=0, lead=6.0, bias=20.0):
    """Scores with a clear lead of the right label under a bias that hides it."""
    generator = np.random.default_rng(seed)
    right = np.arange(examples) % labels
    scores = lead * np.eye(labels)[right] + generator.normal(size=(examples, labels))
    return scores + bias * np.linspace(1, 0, labels), right


def posteriors(learnt, scores):
    """Bayes' rule on densities, one number at a time."""
    labels = len(learnt.weights)
    result = np.empty((len(scores), labels))
    for row, point in enumerate(scores @ COORDINATES[labels].T):
        for label in range(labels):
            covariance = np.array(learnt.covariances[label])
            offset = point - np.array(learnt.means[label])
            density = np.exp(-offset @ np.linalg.inv(covariance) @ offset / 2) / np.sqrt(np.linalg.det(covariance))
            result[row, label] = learnt.weights[label] * density
    return result / result.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_a_bias_that_hides_the_right_label_is_removed(labels):
    scores, right = clusters(labels, 40 * labels)
    assert (scores.argmax(axis=1) == right).mean() < 0.6
    corrected = fit_mixture(scores, 0).apply(scores)
    assert (corrected.argmax(axis=1) == right).mean() > 0.99
    np.testing.assert_allclose(np.exp(corrected).sum(axis=1), 1)


@pytest.mark.parametrize("labels", [2, 3])
def test_clusters_far_apart_are_those_of_their_examples(labels):
    scores, right = clusters(labels, 30 * labels, lead=40.0)
    learnt = fit_mixture(scores, 0)
    points = scores @ COORDINATES[labels].T
    floor = 0.05 * points.var(axis=0).mean() * np.eye(labels - 1)
    for label in range(labels):
        own = points[right == label]
        assert learnt.weights[label] == pytest.approx(1 / labels)
        np.testing.assert_allclose(learnt.means[label], own.mean(axis=0), rtol=1e-6)
        expected = np.cov(own.T, bias=True).reshape(labels - 1, labels - 1) + floor
        np.testing.assert_allclose(learnt.covariances[label], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("labels", [2, 3])
def test_posteriors_by_definition(labels):
    scores, _ = clusters(labels, lead=2.0, bias=1.0)
    learnt = fit_mixture(scores, 0)
    np.testing.assert_allclose(np.exp(learnt.apply(scores)), posteriors(learnt, scores), atol=1e-9)


@settings(deadline=None, max_examples=10)
@given(order=st.permutations(range(3)), seed=st.integers(0, 2**40))
def test_constants_and_the_order_of_labels_do_not_matter(order, seed):
    scores, right = clusters(3)
    expected = fit_mixture(scores, seed).apply(scores)
    constants = np.random.default_rng(seed).normal(size=(len(scores), 1))
    moved = scores + 10 * constants
    np.testing.assert_allclose(fit_mixture(moved, seed).apply(moved), expected, atol=1e-6)
    arranged = scores[:, order]
    np.testing.assert_allclose(fit_mixture(arranged, seed).apply(arranged), expected[:, order], atol=1e-6)
    assert np.array_equal(expected.argmax(axis=1), right)


def test_the_seed_decides_the_clusters():
    scores, _ = clusters(3, lead=0.5)
    for seed in (0, 7, -1, 2**32 + 7):
        assert fit_mixture(scores, seed) == fit_mixture(scores, seed)
    before = np.random.get_state()[1].copy()
    fit_mixture(scores, 0)
    assert np.array_equal(np.random.get_state()[1], before)


def test_few_examples_that_repeat_are_enough():
    scores = [[0.0, 5.0]] * 2 + [[0.0, 9.0]] * 2  # label 1 leads everywhere
    assert fit_mixture(scores, 0).apply(scores).argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_no_examples_to_correct():
    assert fit_mixture(clusters(3)[0], 0).apply(np.empty((0, 3))).shape == (0, 3)


ROUND = (((1.0,),), ((1.0,),))
MISTAKES = [
    (
        lambda: fit_mixture(np.zeros((3, 2)), 0),
        "prototypical calibration of 2 labels needs at least 4 unlabelled examples, found 3; give more, or choose "
        "another method",
    ),
    (
        lambda: fit_mixture([[0.0, 1.0, 2.0]] * 5 + [[1.0, 1.0, 1.0]], 0),
        "prototypical calibration of 3 labels needs examples with at least 3 different scores, found 2 among 6 "
        "examples; give others, or choose another method",
    ),
    (
        lambda: fit_mixture([[0.0, np.inf]] * 4, 0),
        "example 0 has the scores [0.0, inf]; every label needs a finite score in every example",
    ),
    (
        lambda: fit_mixture(clusters(2)[0], 0).apply([[0.0, 1.0, 2.0]]),
        "scores of 3 labels, but the calibration was learnt on 2; apply it to the labels it was learnt on",
    ),
    (
        lambda: Mixture((0.5, 0.5), ((0.0,), (0.0, 1.0)), ROUND),
        "means: expected 2 x 1 finite numbers, found ((0.0,), (0.0, 1.0))",
    ),
    (lambda: Mixture((1.5, -0.5), ((0.0,), (1.0,)), ROUND), "weights must be above 0, found (1.5, -0.5)"),
    (
        lambda: Mixture((0.5, 0.5), ((0.0,), (1.0,)), (((0.0,),), ((1.0,),))),
        "covariances must be positive definite, found (((0.0,),), ((1.0,),))",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_are_explained(mistake, message):
    with pytest.raises(ParameterError) as caught:
        mistake()
    assert str(caught.value) == message


def test_clusters_that_do_not_settle_are_an_error(monkeypatch):
    monkeypatch.setattr(mixture, "ROUNDS", 1)
    with pytest.raises(ParameterError, match="no clusters found in the scores of 60 examples within "):
        fit_mixture(clusters(3, lead=0.5)[0], 0)


@pytest.mark.parametrize("scale", [1e155, 1e200])
def test_scores_without_a_finite_variance(scale):
    with pytest.raises(ParameterError, match="have no finite variance"):
        fit_mixture(np.random.default_rng(0).normal(size=(30, 3)) * scale, 0)


def test_an_example_beyond_all_clusters_has_no_probabilities_of_nan():
    calibration = fit_mixture(clusters(2)[0], 0)
    with pytest.raises(NonFiniteError, match="row 1: calibration='prototypical' leaves no finite score"):
        calibration.apply([[0.0, 1.0], [1e200, 0.0]])
