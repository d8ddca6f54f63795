"""Rules for prompts that give nearly everything one label."""

import numpy as np
import pytest

from softcloze.calibration import dominant_label, winning_label


@pytest.mark.parametrize(
    ("given", "right", "expected"),
    [
        ([0] * 32, [0] * 16 + [1] * 16, (0, 1.0)),
        ([2] * 30 + [0] * 2, [0, 1, 2, 2] * 8, (2, 30 / 32)),
        ([0] * 28 + [1] * 4, [0] * 16 + [1] * 16, None),  # 0.88 of the examples
        ([0] * 32, [0] * 26 + [1] * 6, None),  # the labels are nearly as uneven
        ([0] * 6, [0] * 3 + [1] * 3, None),  # too few examples to tell
        ([0] * 8, [0] * 4 + [1] * 4, (0, 1.0)),
    ],
)
def test_a_label_dominates_if_it_is_given_to_most_examples_and_far_fewer_have_it(given, right, expected):
    assert dominant_label(given, right) == expected
    shuffled = np.random.default_rng(0).permutation(len(given))
    assert dominant_label(np.array(given)[shuffled], np.array(right)[shuffled]) == expected


@pytest.mark.parametrize(
    ("priors", "times", "expected"),
    [([0.75, 0.25], 3.0, None), ([0.76, 0.24], 3.0, 0), ([0.1, 0.9], 10.0, None), ([0.08, 0.92], 10.0, 1)],
)
def test_a_label_wins_by_its_odds_in_units_of_those_of_chance(priors, times, expected):
    assert winning_label(priors, times) == expected
