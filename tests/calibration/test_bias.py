"""Shifts: against W = diag(p)^-1 on probabilities, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.special import log_softmax

from softcloze.calibration import LabelBias, fit_bias, fit_labels_bias
from softcloze.calibration.bias import LABEL_BIASES, agrees
from softcloze.errors import ParameterError

scores = st.integers(2, 5).flatmap(
    lambda labels: st.tuples(
        arrays(float, st.tuples(st.integers(1, 6), st.just(labels)), elements=st.floats(-30, 30)),
        arrays(float, st.tuples(st.integers(0, 4), st.just(labels)), elements=st.floats(-30, 30)),
    )
)


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def divided(learnt_from, applied_to):
    """Probabilities over the mean probability of each label, normalised anew."""
    weighted = softmax(applied_to) / softmax(learnt_from).mean(axis=0)
    return weighted / weighted.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", LABEL_BIASES)
@settings(deadline=None, max_examples=100)
@given(pair=scores)
def test_probabilities_are_divided_by_their_mean(method, pair):
    neutral, new = pair
    corrected = fit_bias(neutral, method).apply(new)
    assert corrected.dtype == np.float64
    assert corrected.shape == new.shape
    if len(new):
        np.testing.assert_allclose(softmax(corrected), divided(neutral, new), atol=1e-9)
        np.testing.assert_allclose(softmax(corrected).sum(axis=1), 1)


@settings(deadline=None, max_examples=100)
@given(pair=scores, data=st.data())
def test_constants_of_rows_and_the_order_of_labels_do_not_matter(pair, data):
    neutral, new = pair
    expected = fit_bias(neutral, "domain").apply(new)
    constants = [data.draw(arrays(float, (len(part), 1), elements=st.floats(-50, 50))) for part in pair]
    moved = fit_bias(neutral + constants[0], "domain").apply(new + constants[1])
    np.testing.assert_allclose(moved, expected, atol=1e-9)
    order = data.draw(st.permutations(range(new.shape[1])))
    np.testing.assert_allclose(fit_bias(neutral[:, order], "domain").apply(new[:, order]), expected[:, order])


@settings(deadline=None, max_examples=100)
@given(row=arrays(float, (1, 4), elements=st.floats(-30, 30)))
def test_one_content_free_input_becomes_uniform(row):
    np.testing.assert_allclose(softmax(fit_bias(row, "contextual").apply(row)), 0.25)


def test_inputs_that_favour_different_labels_cancel():
    shift = fit_bias(np.log([[0.9, 0.1], [0.1, 0.9]]), "contextual")
    np.testing.assert_allclose(shift.bias, np.log([0.5, 0.5]))


def test_hopeless_labels_keep_a_finite_bias():
    shift = fit_bias([[0.0, -2000.0]], "pmi")
    assert shift.bias == (0.0, -2000.0)
    assert shift.apply([[0.0, -2000.0]]).tolist() == [[0.0, 0.0]]


MISTAKES = [
    (
        lambda: fit_bias(np.empty((0, 2)), "contextual"),
        "'contextual' calibration has no input to learn from; score at least one",
    ),
    (
        lambda: fit_bias([[0.0, 1.0]], "temperature"),
        "method='temperature' is not a label bias; expected contextual, domain, pmi, batch",
    ),
    (
        lambda: fit_bias([[0.0, 1.0], [0.0, np.nan]], "batch"),
        "example 1 has the scores [0.0, nan]; every label needs a finite score in every example",
    ),
    (
        lambda: fit_bias([0.0, 1.0], "batch"),
        "scores need the shape (batch, labels) with at least two labels, found (2,)",
    ),
    (
        lambda: fit_bias([[0.0]], "batch"),
        "scores need the shape (batch, labels) with at least two labels, found (1, 1)",
    ),
    (
        lambda: fit_bias([["a", "b"]], "batch"),
        "scores must be a table of numbers with a row for each example: could not convert string to float: 'a'",
    ),
    (
        lambda: LabelBias("batch", (0.0, 0.0)).apply([[0.0, 1.0, 2.0]]),
        "scores of 3 labels, but the calibration was learnt on 2; apply it to the labels it was learnt on",
    ),
    (lambda: LabelBias("batch", (0.0,)), "bias: expected 2 finite numbers, found (0.0,)"),
    (lambda: LabelBias("batch", (0.0, np.inf)), "bias: expected 2 finite numbers, found (0.0, inf)"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_are_explained(mistake, message):
    with pytest.raises(ParameterError) as caught:
        mistake()
    assert str(caught.value) == message


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), labels=st.integers(2, 4), strength=st.sampled_from([-3, 0, 3]))
def test_words_that_agree_have_a_positive_factor_in_a_logistic_regression_with_biases(seed, labels, strength):
    generator = np.random.default_rng(seed)
    targets = np.arange(30) % labels
    table = generator.normal(size=(30, labels)) + 5 * generator.normal(size=labels)
    table[range(30), targets] += strength
    weights = generator.uniform(0.2, 3, size=30)

    def loss(parameters):
        odds = parameters[0] * log_softmax(table, axis=1) + parameters[1:]
        return -weights @ log_softmax(odds, axis=1)[range(30), targets]

    intercepts = minimize(
        lambda bias: (
            -weights / weights.sum() @ log_softmax(table - bias, axis=1)[range(30), targets] + 0.005 * bias @ bias
        ),
        np.zeros(labels),
    ).x
    np.testing.assert_allclose(fit_labels_bias(table, targets, weights).bias, intercepts, atol=1e-3)
    found = agrees(table, targets, weights)
    if strength:
        assert found == (strength > 0)
    if found:
        assert minimize(loss, np.zeros(1 + labels)).x[0] > 0
