"""Temperature: against a search on a grid, and a temperature that is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from softcloze.calibration import Temperature, fit_temperature
from softcloze.errors import NonFiniteError, ParameterError


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def drawn(seed, examples, labels, spread=2.0):
    """Logits, and targets drawn with their probabilities."""
    generator = np.random.default_rng(seed)
    logits = spread * generator.normal(size=(examples, labels))
    ends = softmax(logits).cumsum(axis=1)
    return logits, np.minimum((generator.random((examples, 1)) > ends).sum(axis=1), labels - 1)


def loss(logits, targets, temperature):
    return -np.log(softmax(logits / temperature)[np.arange(len(targets)), targets]).mean()


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("labels", [2, 5])
def test_a_known_temperature_is_recovered(labels, factor):
    logits, targets = drawn(0, 20_000, labels)
    assert fit_temperature(factor * logits, targets).temperature == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_no_temperature_on_a_grid_is_better(seed):
    logits, targets = drawn(seed, 40, 3)
    found = fit_temperature(logits, targets).temperature
    grid = np.geomspace(0.05, 20, 2000)
    losses = [loss(logits, targets, temperature) for temperature in grid]
    assert loss(logits, targets, found) <= min(losses) + 1e-12
    assert found == pytest.approx(grid[np.argmin(losses)], rel=0.01)


@settings(deadline=None, max_examples=100)
@given(
    new=arrays(float, st.tuples(st.integers(0, 5), st.integers(2, 4)), elements=st.floats(-30, 30)),
    temperature=st.floats(0.05, 20),
    data=st.data(),
)
def test_predictions_stay_and_constants_and_order_do_not_matter(new, temperature, data):
    calibration = Temperature(temperature)
    corrected = calibration.apply(new)
    assert corrected.dtype == np.float64
    assert corrected.shape == new.shape
    rows = np.arange(len(new))
    # the predicted label stays ahead, whatever rounding makes of labels that are nearly level
    np.testing.assert_allclose(corrected[rows, new.argmax(axis=1)], corrected.max(axis=1), atol=1e-9)
    if len(new):
        np.testing.assert_allclose(softmax(corrected), softmax(new / temperature), atol=1e-9)
    constants = data.draw(arrays(float, (len(new), 1), elements=st.floats(-50, 50)))
    np.testing.assert_allclose(calibration.apply(new + constants), corrected, atol=1e-9)
    order = data.draw(st.permutations(range(new.shape[1])))
    np.testing.assert_allclose(calibration.apply(new[:, order]), corrected[:, order], atol=1e-9)


def test_learning_does_not_depend_on_constants_or_the_order_of_labels():
    logits, targets = drawn(1, 60, 4)
    expected = fit_temperature(logits, targets).temperature
    constants = np.random.default_rng(0).normal(size=(60, 1))
    assert fit_temperature(logits + 10 * constants, targets).temperature == pytest.approx(expected, rel=1e-6)
    order = np.array([2, 0, 3, 1])
    found = fit_temperature(logits[:, order], np.argsort(order)[targets]).temperature
    assert found == pytest.approx(expected, rel=1e-6)


def test_examples_that_set_no_limit_stay_within_bounds():
    leads = [[3.0, 0.0], [1.0, 0.0]]
    assert 0.05 <= fit_temperature(leads, [0, 0]).temperature < 0.1
    assert fit_temperature(leads, [1, 1]).temperature == pytest.approx(20, rel=1e-4)


EVEN = [[0.0, 1.0], [0.0, 1.0]]
MISTAKES = [
    (
        lambda: fit_temperature(np.empty((0, 2)), []),
        "temperature calibration has no examples to learn from; hold out some with labels",
    ),
    (lambda: fit_temperature(EVEN, [0]), "scores of 2 examples need as many targets, found the shape (1,)"),
    (lambda: fit_temperature(EVEN, [[0, 1]]), "scores of 2 examples need as many targets, found the shape (1, 2)"),
    (
        lambda: fit_temperature(EVEN, [0, 2]),
        "example 1 has the target 2; scores of 2 labels have targets from 0 to 1",
    ),
    (
        lambda: fit_temperature(EVEN, [-1, 0]),
        "example 0 has the target -1; scores of 2 labels have targets from 0 to 1",
    ),
    (
        lambda: fit_temperature(EVEN, ["a", "b"]),
        "targets must be indices of labels, found <U1 values",
    ),
    (
        lambda: fit_temperature([[0.0, -np.inf], [0.0, 1.0]], [0, 1]),
        "example 0 has the scores [0.0, -inf]; every label needs a finite score in every example",
    ),
    (lambda: Temperature(0.0), "temperature must be above 0, found 0.0"),
    (lambda: Temperature(np.nan), "temperature: expected 1 finite number, found nan"),
    (lambda: Temperature("hot"), "temperature: expected 1 finite number, found 'hot'"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_are_explained(mistake, message):
    with pytest.raises(ParameterError) as caught:
        mistake()
    assert str(caught.value) == message


@pytest.mark.parametrize("lead", [50, 1000, 1e8, 1e300])
def test_examples_that_are_all_right_and_sure_stay_sure(lead):
    """Then many temperatures leave no loss, and a high one would take the confidence of less clear texts."""
    assert fit_temperature([[lead, 0.0], [0.0, lead]], [0, 1]).temperature < 0.1


def test_a_temperature_that_leaves_no_finite_score_raises():
    with pytest.raises(NonFiniteError, match="row 1: calibration='temperature' leaves no finite score"):
        Temperature(5e-324).apply([[800.0, 0.0], [1.0, 1.0]])
