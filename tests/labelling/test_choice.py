"""Which text comes next, how good the classifier is, and which labels are doubtful, on given states."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from softcloze.labelling.doubts import rank_doubts
from softcloze.labelling.estimate import CurvePoint, cross_validated, forecast, interval_of
from softcloze.labelling.head import Features, fit_quick
from softcloze.labelling.selection import choose, margins_of, space_of


def blobs(count=90, labels=3, width=8, seed=0, spread=1.0):
    """Texts of equally many classes around points, without label words."""
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % labels
    centres = 3 * np.eye(width)[:labels]
    states = centres[targets] + spread * generator.normal(size=(count, width))
    return Features(states, None, np.zeros((0, width)), None), targets


def chosen(space, strategy, open_, logs=None, targets=(), turn=0, count=1):
    return choose(
        count,
        strategy=strategy,
        space=space,
        log_probabilities=logs,
        margins=margins_of(logs) if logs is not None else None,
        targets=targets,
        recent=np.zeros(0, dtype=int),
        open_=open_,
        turn=turn,
    )


def test_the_quick_head_is_logistic_regression():
    features, targets = blobs(spread=2.0)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(targets))
    weights /= weights.sum()
    head = fit_quick(features, np.arange(90), targets, 3, 0.05 / 8, weights)
    mean = weights @ features.states
    scaled = (features.states - mean) / np.sqrt(weights @ (features.states - mean) ** 2)
    reference = LogisticRegression(C=1 / 0.05, tol=1e-8, max_iter=1000).fit(scaled, targets, weights)
    np.testing.assert_allclose(head.log_probabilities(features), reference.predict_log_proba(scaled), atol=2e-2)


def test_the_first_texts_are_of_all_clusters():
    features, targets = blobs()
    space = space_of(features, 3, seed=0)
    first = chosen(space, "uncertain", np.ones(90, dtype=bool), count=8)
    assert {how for _, how in first} == {"different"}
    assert {targets[index] for index, _ in first} == {0, 1, 2}
    assert len(space.first) == 18  # six for each label


def test_like_texts_are_asked_once():
    features, _ = blobs(6)
    repeated = Features(np.tile(features.states, (4, 1)), None, features.label_states, None)
    first = space_of(repeated, 3, seed=0).first
    assert sorted(index % 6 for index in first) == [0, 1, 2, 3, 4, 5]


def test_a_label_without_texts_is_sought():
    features, _ = blobs()
    space = space_of(features, 3, seed=0)
    logs = np.log(np.random.default_rng(0).dirichlet([1, 1, 1], 90))
    open_ = np.ones(90, dtype=bool)
    open_[[*space.first]] = False
    ((index, how),) = chosen(space, "uncertain", open_, logs, targets={0, 1})
    assert how == "sought"
    assert logs[index, 2] == logs[open_, 2].max()


def test_uncertain_texts_are_those_of_least_margin():
    features, _ = blobs(400)
    space = space_of(features, 3, seed=0)
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 400)
    open_ = np.ones(400, dtype=bool)
    open_[[*space.first]] = False
    picks = chosen(space, "uncertain", open_, np.log(probabilities), {0, 1, 2}, count=5)
    ordered = np.sort(probabilities, axis=1)
    margins = ordered[:, 2] - ordered[:, 1]
    assert {how for _, how in picks} == {"uncertain"}
    assert margins[[index for index, _ in picks]].max() <= np.sort(margins[open_])[40]


def test_random_takes_open_texts_alone():
    features, _ = blobs()
    open_ = np.zeros(90, dtype=bool)
    open_[[4, 7]] = True
    assert {index for index, _ in chosen(space_of(features, 3, 0), "random", open_, count=5)} == {4, 7}


def test_the_interval_holds_the_accuracy_in_nine_of_ten_samples():
    generator, recalls = np.random.default_rng(0), np.array([0.9, 0.6])
    held = 0
    for _ in range(400):
        targets = np.arange(40) % 2
        predicted = np.where(generator.random(40) < recalls[targets], targets, 1 - targets)
        _, low, high = interval_of(targets, predicted, 2, seed=0)
        held += low <= recalls.mean() <= high
    assert 0.85 <= held / 400 <= 0.95


def test_cross_validation_does_not_learn_from_the_text_itself():
    features, _ = blobs(60, width=100)
    noise = np.random.default_rng(0).integers(2, size=60)
    logs = cross_validated(features, np.arange(60), noise, 2, seed=0, strength=0.001)
    assert np.mean(logs.argmax(1) == noise) < 0.7  # the head itself tells all of them apart
    head = fit_quick(features, np.arange(60), noise, 2, 0.001)
    assert np.mean(head.log_probabilities(features).argmax(1) == noise) == 1


def test_a_flat_curve_forecasts_nothing():
    flat = [CurvePoint(count, 0.8, 0.03) for count in (8, 16, 32, 57)]
    steep = [CurvePoint(count, 1 - count**-0.5, 0.01) for count in (8, 16, 32, 57)]
    assert forecast(flat, 10, 0).gain == pytest.approx(0, abs=1e-9)
    expected = 57**-0.5 - 67**-0.5
    assert forecast(steep, 10, 0).gain == pytest.approx(expected, abs=1e-9)
    assert forecast(steep, 10, 0).low < expected < forecast(steep, 10, 0).high
    assert forecast(steep[:1], 10, 0) is None


def test_wrong_labels_are_the_most_doubtful():
    features, targets = blobs(90)
    wrong = np.arange(0, 90, 10)
    given = targets.copy()
    given[wrong] = (given[wrong] + 1) % 3
    logs = cross_validated(features, np.arange(90), given, 3, seed=0)
    assert {*wrong.tolist()} <= {*rank_doubts(logs, given)[0][:18].tolist()}
