from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softcloze.data import Examples, Split, normalise, split_rows
from softcloze.errors import DataError

ROWS = st.lists(st.tuples(st.text(max_size=6), st.sampled_from(["bad", "good"])), max_size=80)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Good  film", "good film"), ("ＧＯＯＤ", "good"), ("a\u3000b", "a b"), ("Straße", "STRASSE"), (" x\n", "x")],
)
def test_spellings_of_one_text(one, other):
    assert normalise(one) == normalise(other)


def test_repetitions_and_empty_texts_go():
    split = split_rows([("A film", "good"), (" a  FILM ", "good"), ("  ", "bad"), ("", "good")])
    assert split == Split(Examples(("A film",), ("good",)), Examples((), ()))


def test_a_text_with_two_labels_goes_altogether():
    assert split_rows([("so so", "good"), ("So so", "bad"), ("so so", "good")]).train == Examples((), ())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pd.DataFrame({"text": ["a"], "label": ["b"]}), "row 0 is 'text'; expected a pair of a text and a label"),
        ([("a", "good", 1)], "row 0 is .*; expected a pair"),
        ([{"text": "a", "label": "b"}], "row 0 is .*; expected a pair"),
        ("ab", "row 0 is 'a'; expected a pair"),
        ([("a", "good"), (None, "bad")], "row 1 has None for its text; drop the row or give it a text"),
        ([("a", "good"), (float("nan"), "bad")], "row 1 has nan for its text"),
        ([("a", "good"), ("b", None)], "row 1 has the label None, a missing value"),
        ([("a", "good"), ("b", float("nan"))], "row 1 has the label nan, a missing value"),
        ([("a", "good"), ("b", 1)], "labels"),
    ],
)
def test_rows_that_are_no_texts_with_labels(rows, message):
    with pytest.raises(DataError, match=message):
        split_rows(rows)


def test_rows_of_arrays_and_numbers_as_labels():
    rows = [(f"text {n}", n % 2) for n in range(40)]
    expected = split_rows(rows)
    assert split_rows([(text, np.int64(label)) for text, label in rows]) == expected
    assert {type(label) for label in expected.train.labels} == {int}
    assert split_rows(np.array([("a", "good"), ("b", "bad")])) == split_rows([("a", "good"), ("b", "bad")])


@given(ROWS)
def test_no_text_is_in_both_sets_or_twice_in_one(rows):
    split = split_rows(rows)
    keys = [normalise(text) for text in split.train.texts + split.test.texts]
    assert len(keys) == len(set(keys))
    known = {(text.strip(), label) for text, label in rows}
    kept = [zip(part.texts, part.labels, strict=True) for part in (split.train, split.test)]
    assert {*kept[0], *kept[1]} <= known


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing_but_the_spelling_that_is_kept(rows, random):
    shuffled = random.sample(rows, len(rows))
    before, after = split_rows(rows), split_rows(shuffled)
    assert [normalise(text) for text in before.train.texts] == [normalise(text) for text in after.train.texts]
    assert before.test.labels == after.test.labels


@given(st.tuples(*[st.integers(0, 300)] * 3))
def test_any_prefix_of_the_test_rows_is_balanced(sizes):
    rows = [(f"{label} {n}", label) for label, size in zip("abc", sizes, strict=True) for n in range(size)]
    labels = split_rows(rows).test.labels
    for end in range(len(labels) + 1):
        counts = Counter(labels[:end])
        assert max(counts.values(), default=0) - min((counts[label] for label in set(labels)), default=0) <= 1


def test_about_three_in_ten_are_test_rows():
    split = split_rows((f"text {n}", "even" if n % 2 == 0 else "odd") for n in range(10_000))
    assert 0.28 < len(split.test) / 10_000 <= 0.31
    assert 0.68 < len(split.train) / 10_000 < 0.72
