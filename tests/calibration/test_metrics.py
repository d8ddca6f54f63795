"""The expected calibration error: against its definition, bin by bin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from softcloze.calibration import expected_calibration_error
from softcloze.errors import ParameterError


def by_definition(truth, probs, labels, bins):
    """Guo et al., equation 3, with one loop over the bins and one over the examples."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [row for row in range(len(truth)) if low < max(probs[row]) <= high]
        if inside:
            accuracy = np.mean([labels[int(np.argmax(probs[row]))] == truth[row] for row in inside])
            confidence = np.mean([max(probs[row]) for row in inside])
            total += len(inside) / len(truth) * abs(accuracy - confidence)
    return total


@settings(deadline=None, max_examples=100)
@given(
    odds=arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(1, 9)),
    bins=st.integers(1, 15),
    data=st.data(),
)
def test_by_definition(odds, bins, data):
    probs = odds / odds.sum(axis=1, keepdims=True)
    labels = ["b", "a", "好", "坏"][: odds.shape[1]]
    truth = data.draw(st.lists(st.sampled_from(labels), min_size=len(odds), max_size=len(odds)))
    found = expected_calibration_error(truth, probs, labels=labels, bins=bins)
    assert found == pytest.approx(by_definition(truth, probs, labels, bins), abs=1e-12)
    assert 0 <= found <= 1
    # ties between labels go to the first, so only without them the order of columns is free
    if all(np.count_nonzero(row == row.max()) == 1 for row in probs):
        turned = expected_calibration_error(truth, probs[:, ::-1], labels=labels[::-1], bins=bins)
        assert turned == pytest.approx(found)


def test_a_bin_holds_its_upper_edge():
    probs = [[0.7, 0.3], [0.65, 0.35]]
    assert expected_calibration_error([1, 2], probs, labels=[1, 2]) == pytest.approx(abs(1 - 1.35) / 2)
    # 0.6 and below is another bin, where gaps of opposite sign no longer cancel
    probs = [[0.7, 0.3], [0.6, 0.4]]
    assert expected_calibration_error([1, 2], probs, labels=[1, 2]) == pytest.approx((0.3 + 0.6) / 2)


@pytest.mark.parametrize(("truth", "expected"), [("a", 0.0), ("b", 1.0)])
def test_certainty_that_is_right_or_wrong(truth, expected):
    assert expected_calibration_error([truth] * 3, [[1.0, 0.0]] * 3, labels=("a", "b")) == expected


def test_probabilities_that_come_true_have_almost_no_error():
    generator = np.random.default_rng(0)
    probs = generator.dirichlet([1, 1, 1], size=100_000)
    truth = (generator.random((100_000, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    assert expected_calibration_error(truth, probs, labels=[0, 1, 2]) < 0.005
    sharper = probs**3 / (probs**3).sum(axis=1, keepdims=True)
    assert expected_calibration_error(truth, sharper, labels=[0, 1, 2]) > 0.1


def test_arrays_of_any_kind_are_taken():
    truth = np.array(["a", "b"])
    probs = np.array([[0.9, 0.1], [0.4, 0.6]], dtype=np.float32)
    found = expected_calibration_error(truth, probs, labels=np.array(["a", "b"]))
    assert isinstance(found, float)
    assert found == pytest.approx(0.25, abs=1e-6)


AB = ["a", "b"]
MISTAKES = [
    (
        lambda: expected_calibration_error(["a"], [[1.0, 0.0]] * 2, labels=AB),
        "y_prob holds 2 examples, so y_true needs as many labels, found the shape (1,)",
    ),
    (
        lambda: expected_calibration_error(["a"], [[1.0, 0.0, 0.0]], labels=AB),
        "y_prob needs a row for each of one or more examples and a column for each of 2 labels, found the shape (1, 3)",
    ),
    (
        lambda: expected_calibration_error([], np.empty((0, 2)), labels=AB),
        "y_prob needs a row for each of one or more examples and a column for each of 2 labels, found the shape (0, 2)",
    ),
    (
        lambda: expected_calibration_error(["a"], [["x", "y"]], labels=AB),
        "y_prob must be a table of numbers with a row for each example: could not convert string to float: 'x'",
    ),
    (
        lambda: expected_calibration_error(["c", "a", "d", "c"], [[0.5, 0.5]] * 4, labels=AB),
        "y_true holds 'c', 'd', but labels are ['a', 'b']",
    ),
    (
        lambda: expected_calibration_error(["a"], [[0.5, 0.5]], labels=["a", "a"]),
        "labels must be different, found ['a', 'a']",
    ),
    (
        lambda: expected_calibration_error(["a", "a"], [[0.5, 0.5], [0.5, 0.6]], labels=AB),
        "row 1 of y_prob is [0.5, 0.6], with the sum 1.1; probabilities are not negative and sum to 1: take a "
        "softmax of scores first",
    ),
    (
        lambda: expected_calibration_error(["a"], [[1.5, -0.5]], labels=AB),
        "row 0 of y_prob is [1.5, -0.5], with the sum 1; probabilities are not negative and sum to 1: take a "
        "softmax of scores first",
    ),
    (
        lambda: expected_calibration_error(["a"], [[np.nan, 1.0]], labels=AB),
        "row 0 of y_prob is [nan, 1.0], with the sum nan; probabilities are not negative and sum to 1: take a "
        "softmax of scores first",
    ),
    (
        lambda: expected_calibration_error(["a"], [[0.5, 0.5]], labels=AB, bins=0),
        "bins=0, but it has to be an integer of at least 1",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_are_explained(mistake, message):
    with pytest.raises(ParameterError) as caught:
        mistake()
    assert str(caught.value) == message
