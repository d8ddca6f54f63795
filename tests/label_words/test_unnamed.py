"""Labels whose names say nothing, and words for a scale."""

import pytest

from softcloze.label_words.unnamed import scale_words, unnamed_order


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ([10, 9, -1], [-1, 9, 10]),
        (["10", "9", "-1.5"], ["-1.5", "9", "10"]),
        (["class 11", "class 2"], ["class 2", "class 11"]),
        (["5 stars", "1 star"], ["1 star", "5 stars"]),
        (["LABEL_1", "LABEL_0"], ["LABEL_0", "LABEL_1"]),
        (["B", "C", "A"], ["A", "B", "C"]),
        ([True, False], [False, True]),
        (["Yes", "No"], ["No", "Yes"]),
        (["是", "否"], ["否", "是"]),
    ],
)
def test_names_that_say_nothing_have_an_order(labels, order):
    assert unnamed_order(labels) == order


@pytest.mark.parametrize("labels", [["good", "bad"], ["好", "差"], ["good", "very good"], ["type spam", "type ham"]])
def test_names_that_are_words_have_none(labels):
    assert unnamed_order(labels) is None


def test_the_names_that_a_dataset_brings_count():
    assert unnamed_order([0, 1], {0: "bad", 1: "good"}) is None
    assert unnamed_order(["good", "bad"], {"good": "1", "bad": "0"}) == ["bad", "good"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_scale_of_any_length_has_words_at_both_ends(language):
    for count in range(2, 12):
        words = scale_words([*range(count)], language).label_words()
        assert {0, count - 1} <= set(words) and len({tuple(of_label) for of_label in words.values()}) == len(words)
    assert scale_words([*range(12)], language) is None
