"""Pseudo-labels drawn from given probabilities."""

import numpy as np
import pytest

from softcloze.classifiers.pseudo_labels import draw_pseudo_labels


def test_as_many_of_each_label_are_drawn_as_wanted_or_all():
    odds = np.random.default_rng(0).exponential(size=(400, 3))
    given = np.log(odds / odds.sum(-1, keepdims=True))
    rows, labels = draw_pseudo_labels(given, {"a": 20, "b": 1000, "c": 0}, np.random.default_rng(0))
    of = {label: [row for row, own in zip(rows, labels, strict=True) if own == label] for label in "abc"}
    best = given.argmax(1)
    assert (len(of["a"]), len(of["c"])) == (20, 0)
    assert sorted(of["b"]) == np.flatnonzero(best == 1).tolist()  # all that there are
    assert len({*of["a"]}) == 20
    assert {*of["a"]} <= {*np.flatnonzero(best == 0).tolist()}


def test_probable_labels_are_drawn_more_often():
    given = np.log([[0.9, 0.1], [0.6, 0.4]])
    counts = np.zeros(2)
    for seed in range(600):
        rows, _ = draw_pseudo_labels(given, {0: 1, 1: 1}, np.random.default_rng(seed))
        counts[rows] += 1
    assert counts[0] / 600 == pytest.approx(0.9 / 1.5, abs=0.06)
