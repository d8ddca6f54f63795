"""Combinations of log-probabilities, against plain arithmetic."""

import numpy as np
import pytest

from softcloze.prompt.combination import Stacked, WeightedMean, accuracy_weights, combination_from_dict


def answers(members, examples, labels, seed=0):
    """Random log-probabilities, shape (members, examples, labels)."""
    odds = np.random.default_rng(seed).exponential(size=(members, examples, labels))
    return np.log(odds / odds.sum(-1, keepdims=True))


@pytest.mark.parametrize("labels", [2, 5])
def test_means(labels):
    given, weights = answers(3, 7, labels), (0.5, 0.2, 0.3)
    for i in range(7):
        mean = [sum(w * np.exp(given[k, i, j]) for k, w in enumerate(weights)) for j in range(labels)]
        product = [np.prod([np.exp(given[k, i, j]) ** w for k, w in enumerate(weights)]) for j in range(labels)]
        found = [
            np.exp(WeightedMean(weights, average).log_probabilities(given))[i]
            for average in ("probabilities", "log_probabilities")
        ]
        np.testing.assert_allclose(found[0], mean)
        np.testing.assert_allclose(found[1], np.array(product) / sum(product))


def test_weights_by_accuracy():
    given = answers(4, 50, 3)
    targets = np.random.default_rng(1).integers(3, size=50)
    right = [sum(given[k, i].argmax() == targets[i] for i in range(50)) for k in range(4)]
    np.testing.assert_allclose(accuracy_weights(given, targets), np.array(right) / sum(right))
    assert accuracy_weights(np.log([[[0.9, 0.1]], [[0.8, 0.2]]]), [1]) == (0.5, 0.5)


@pytest.mark.parametrize("labels", [2, 3])
def test_stacking_trusts_the_member_that_is_right(labels):
    given = answers(3, 300, labels)
    targets = given[1].argmax(-1).tolist()  # the others say nothing
    stacked = Stacked.learn(given, targets)
    coefficients = np.array(stacked.coefficients).reshape(labels, 3, labels)
    found = stacked.log_probabilities(given)
    for i in range(5):
        scores = [
            stacked.intercepts[j]
            + sum(coefficients[j, k, other] * given[k, i, other] for k in range(3) for other in range(labels))
            for j in range(labels)
        ]
        np.testing.assert_allclose(np.exp(found[i]), np.exp(scores) / np.exp(scores).sum())
    assert np.mean(found.argmax(-1) == targets) > 0.95
    assert np.abs(coefficients[:, 1]).sum() > 3 * np.abs(coefficients[:, [0, 2]]).sum()


@pytest.mark.parametrize(
    "combination", [WeightedMean((0.25, 0.75), "log_probabilities"), Stacked.learn(answers(2, 20, 2), [0, 1] * 10)]
)
def test_to_dict_and_back(combination):
    assert combination_from_dict(combination.to_dict()) == combination
