"""Weights of examples and classes, against scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from softcloze.data import as_sample_weight, example_weights, indicator_weights
from softcloze.errors import DataError, ParameterError

LABELS = ["a", "b", "c"]
TARGETS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
GOALS = np.eye(3)[TARGETS]
OWN = np.arange(1.0, 10.0)


@pytest.mark.parametrize("own", [np.ones(9), OWN])
def test_balanced_is_that_of_scikit_learn(own):
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS, sample_weight=own)[TARGETS] * own
    np.testing.assert_allclose(example_weights("balanced", LABELS, GOALS, own), expected / expected.mean())


def test_a_label_without_examples_counts_for_nothing():
    two = np.eye(3)[TARGETS % 2]
    expected = compute_sample_weight("balanced", TARGETS % 2)
    np.testing.assert_allclose(example_weights("balanced", LABELS, two, np.ones(9)), expected)


def test_named_weights_multiply_those_of_the_examples():
    expected = compute_sample_weight({0: 1.0, 1: 5.0, 2: 1.0}, TARGETS) * OWN
    np.testing.assert_allclose(example_weights({"b": 5}, LABELS, GOALS, OWN), expected / expected.mean())


def test_equal_weights_are_none():
    for by_class, goals in ((None, GOALS), ({"a": 3, "b": 3, "c": 3}, GOALS), ("balanced", np.eye(3)[[0, 1, 2] * 3])):
        assert example_weights(by_class, LABELS, goals, np.full(9, 0.1)) is None
    assert indicator_weights(None, LABELS, GOALS, np.full(9, 0.1)) is None


def test_several_labels():
    present = np.array([[1, 0], [0, 0], [0, 0], [1, 1]])
    balanced = indicator_weights("balanced", ["a", "b"], present, np.ones(4))
    expected = np.stack([compute_sample_weight("balanced", column) for column in present.T], 1)
    np.testing.assert_allclose(balanced, expected / expected.mean())
    named = indicator_weights({"b": 3}, ["a", "b"], present, np.array([1, 1, 1, 2]))
    np.testing.assert_allclose(named / named[0, 0], [[1, 1], [1, 1], [1, 1], [2, 6]])


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series, lambda values: pd.DataFrame({"weight": values})])
def test_kinds_of_columns(kind):
    np.testing.assert_array_equal(as_sample_weight(kind([1, 0.0, 2]), "abc"), [1, 0, 2])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, 2], "row 1 of sample_weight is -1; expected a number of at least 0"),
        ([1, np.nan, 2], "row 1 of sample_weight is nan"),
        ([1, "2", 2], "row 1 of sample_weight is '2'"),
        ([1, True, 2], "row 1 of sample_weight is True"),
        ([1, 2], "X has 3 examples but sample_weight has 2 weights"),
        ([0, 0, 0], "sample_weight is zero for every example"),
        (1.0, "sample_weight has to be a list with the weight of each example"),
    ],
)
def test_weights_of_no_use(weights, message):
    with pytest.raises(DataError, match=message):
        as_sample_weight(weights, "abc")


def test_a_class_that_is_no_label():
    with pytest.raises(ParameterError, match=r"class_weight has 'B', and the labels are \['a', 'b', 'c'\]"):
        example_weights({"B": 2.0}, LABELS, GOALS, OWN)
