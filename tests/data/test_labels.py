"""Labels of every kind that libraries hand over: taken as plain values, or one error that names the row."""

from decimal import Decimal
from enum import Enum, IntEnum, StrEnum

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_array, csr_matrix

from softcloze import OrdinalVerbalizer, RuleVerbalizer, Verbalizer
from softcloze.data import as_indicators, as_labels, as_probabilities, label_indices, label_verbalizer
from softcloze.errors import DataError

TEXT, NUMBERS = ["pos", "neg", "pos"], [1, 0, 1]
WORDS = Verbalizer({"pos": "good", "neg": "bad"})


class Strict(StrEnum):
    POS = "pos"
    NEG = "neg"


class Mixed(str, Enum):  # noqa: UP042 - a StrEnum would print its value, this one does not
    POS = "pos"
    NEG = "neg"


class Whole(IntEnum):
    POS = 1
    NEG = 0


class Plain(Enum):
    POS = "pos"


def class_label(values, names):
    column = datasets.Dataset.from_dict({"label": values})
    return column.cast_column("label", datasets.ClassLabel(names=names))["label"]


KINDS_OF_TEXT = {
    "tuple": tuple(TEXT),
    "generator": iter(TEXT),
    "numpy": np.array(TEXT),
    "numpy objects": np.array(TEXT, dtype=object),
    "column of an array": np.array(TEXT)[:, None],
    "series": pd.Series(TEXT, index=["a", "b", "c"]),
    "index": pd.Index(TEXT),
    "string dtype": pd.Series(TEXT, dtype="string"),
    "arrow dtype": pd.Series(TEXT, dtype="string[pyarrow]"),
    "categorical": pd.Categorical(TEXT),
    "category": pd.Series(TEXT, dtype="category"),
    "frame": pd.DataFrame({"label": TEXT}),
    "polars": pl.Series(TEXT),
    "polars categorical": pl.Series(TEXT, dtype=pl.Categorical),
    "polars enum": pl.Series(TEXT, dtype=pl.Enum(["pos", "neg"])),
    "polars frame": pl.DataFrame({"label": TEXT}),
    "pyarrow": pa.array(TEXT),
    "pyarrow chunks": pa.chunked_array([TEXT]),
    "pyarrow dictionary": pa.array(TEXT).dictionary_encode(),
    "pyarrow table": pa.table({"label": TEXT}),
    "datasets": datasets.Dataset.from_dict({"label": TEXT})["label"],
    "dataset": datasets.Dataset.from_dict({"label": TEXT}),
    "StrEnum": [Strict.POS, Strict.NEG, Strict.POS],
    "enum of text": [Mixed.POS, Mixed.NEG, Mixed.POS],
}
KINDS_OF_NUMBERS = {
    "numpy": np.array(NUMBERS),
    "uint8": np.array(NUMBERS, dtype=np.uint8),
    "numpy scalars": [*np.array(NUMBERS)],
    "whole floats": [1.0, 0.0, 1.0],
    "float32": np.array(NUMBERS, dtype=np.float32),
    "Int64": pd.Series(NUMBERS, dtype="Int64"),
    "decimals of a database": [Decimal(number) for number in NUMBERS],
    "polars": pl.Series(NUMBERS),
    "torch": torch.tensor(NUMBERS),
    "torch scalars": [*torch.tensor(NUMBERS)],
    "IntEnum": [Whole.POS, Whole.NEG, Whole.POS],
    "ClassLabel": class_label(NUMBERS, ["neg", "pos"]),
    "frame": pd.DataFrame(NUMBERS),
}
KINDS_OF_TRUTH = {
    "numpy": np.array([True, False]),
    "numpy scalars": [np.True_, np.False_],
    "boolean": pd.Series([True, False], dtype="boolean"),
}


@pytest.mark.parametrize(
    ("kinds", "expected"), [(KINDS_OF_TEXT, TEXT), (KINDS_OF_NUMBERS, NUMBERS), (KINDS_OF_TRUTH, [True, False])]
)
def test_labels_of_every_library_are_plain_values(kinds, expected):
    """scikit-learn/scikit-learn#24355 and column-vector y: numpy's numbers, frames of one column and the like."""
    for kind, y in kinds.items():
        labels = as_labels(y)
        assert labels == expected, kind
        assert {*map(type, labels)} == {type(expected[0])}, kind


MISSING = {
    "None": ["pos", None],
    "series": pd.Series(["pos", None]),
    "NaN": [1.0, float("nan")],
    "NA": ["pos", pd.NA],
    "NaT": ["pos", pd.NaT],
    "Int64": pd.Series([1, None], dtype="Int64"),
    "categorical": pd.Categorical(["pos", None]),
    "polars": pl.Series(["pos", None]),
    "pyarrow": pa.array(["pos", None]),
    "masked": np.ma.array(["pos", "neg"], mask=[False, True]),
    "masked column": np.ma.array([["pos"], ["neg"]], mask=[[False], [True]]),
    "empty text": ["pos", ""],
    "blank text": ["pos", " \n"],
}


@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_label_names_its_row(kind):
    """deepchecks/deepchecks#2653: a missing label is no class of its own."""
    with pytest.raises(DataError, match=r"^row 1 has the label .*, (a missing value|blank text): drop it or label it$"):
        as_labels(MISSING[kind])


def test_a_row_of_pandas_has_the_name_that_the_user_sees():
    with pytest.raises(DataError, match=r"^row 1 \(index 17\) has the label nan"):
        as_labels(pd.Series([1, None, 0], index=[4, 17, 2]))


@pytest.mark.parametrize("y", [[1, "good"], [True, "good"], [True, 0], [np.int64(1), np.str_("good")], ["1", 1.0]])
def test_mixed_types_raise(y):
    """embeddings-benchmark/mteb#4784: numbers beside text do not become text."""
    with pytest.raises(DataError, match="labels must all be str or all be int, and y has"):
        as_labels(y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None; it has to be a list with the label of each example"),
        ("pos", "y has to be a list .*, got one str: 'pos'"),
        ({"pos": 1}, "y has to be a list .*, got one dict"),
        ({"pos", "neg"}, "y is a set, which has no order"),
        (3, "got one int: 3"),
        (pl.DataFrame({"label": TEXT}).lazy(), r"y is a LazyFrame, which has no rows yet; pass y.collect\(\)"),
        (datasets.DatasetDict({"train": datasets.Dataset.from_dict({"label": TEXT})}), "pass one split"),
        (
            pd.DataFrame({"id": NUMBERS, "label": TEXT}),
            r"y has the columns 'id', 'label'; .* pass one, as in y\['label'\]",
        ),
        (pl.DataFrame({"id": NUMBERS, "label": TEXT}), r"pass one, as in y\['label'\]"),
        (pd.DataFrame([TEXT], columns=["a", "a", "b"]), "y has several columns named 'a'"),
        (np.array([TEXT]), r"y has shape \(1, 3\); expected one label per example"),
        (csr_matrix([[1], [0]]), r"y has shape \(2, 1\); expected one label per example"),
        ([["pos"], ["neg"]], r"row 0 has the label \['pos'\] of type list"),
        ([0.5, 1.5], "row 0 has the label 0.5 of type float"),
        ([1, float("inf")], "row 1 has the label inf of type float"),
        (["pos", "neg\0"], "row 1 has the label .*, and arrays of numpy drop its last character"),
        ([b"pos"], r"of type bytes; .*; decode it, as in label.decode\(\)"),
        (np.array(TEXT, dtype="S3"), "of type bytes"),
        ([Plain.POS], "of type Plain; .*; take its value, as in Plain.POS.value"),
        (np.array(["2020", "2021"], dtype="datetime64[ns]"), "of type datetime64"),
        (np.array([1, 2], dtype="timedelta64[s]"), "of type timedelta64"),
        (pd.date_range("2020", periods=2), "of type Timestamp"),
        ([1, 2**63], "row 1 has an integer of more than 64 bits as a label; write it as text"),
        (np.array([2**64 - 1, 1], dtype=np.uint64), "row 0 has an integer of more than 64 bits"),
    ],
)
def test_what_is_no_label_raises(y, message):
    with pytest.raises(DataError, match=message):
        as_labels(y)


def test_an_unknown_label_names_row_and_the_nearest():
    assert label_indices(["pos", "neg"], WORDS.labels) == [1, 0]
    with pytest.raises(DataError, match=r"^row 1 has label ' neg', .* it has \['neg', 'pos'\]; did you mean 'neg'\?$"):
        label_indices(["pos", " neg"], WORDS.labels)
    with pytest.raises(DataError, match=r"row 0 has label 1, .*; numbers and text are different labels"):
        label_indices([1, 2], WORDS.labels)
    with pytest.raises(DataError, match="two groups, such as OneVsRestClassifier, has no words for them"):
        label_indices([0, 1], ["bad", "fair", "good"])
    with pytest.raises(DataError, match=r"it has \[1, 2\]; estimators of scikit-learn that number labels begin with 0"):
        label_indices([1, 0], [1, 2])
    many = [f"label {number}" for number in range(1000)]
    with pytest.raises(DataError) as error:
        label_indices(["x"], many)
    assert len(str(error.value)) < 600


class TestNumbers:
    """scikit-learn/scikit-learn#17347: meta-estimators number text labels before they fit."""

    def test_numbers_of_scikit_learn_are_taken_with_a_warning(self):
        with pytest.warns(
            UserWarning, match=r"0 as 'neg', 1 as 'pos'. If they mean something else, give the verbalizer"
        ):
            assert label_verbalizer(WORDS, [1, 0], None) == Verbalizer({0: "bad", 1: "good"})
        stars = OrdinalVerbalizer(["low", "middle", "high"], low="bad", high="good")
        with pytest.warns(UserWarning, match="0 as 'high', 1 as 'low', 2 as 'middle'"):
            assert label_verbalizer(stars, [1, 0, 2], None) == OrdinalVerbalizer([1, 2, 0], low="bad", high="good")

    @pytest.mark.parametrize("labels", [[1, 2], [0, 0], [True, False], [0, 1, 2], ["pos", "neg"], [-1, 0]])
    def test_other_numbers_are_not(self, labels):
        assert label_verbalizer(WORDS, labels, None) is WORDS

    def test_numerals_and_rules_are_not(self):
        rules = RuleVerbalizer({"pos": {"a": "good"}, "neg": {"a": "bad"}})
        for words in (Verbalizer({"0": "bad", "1": "good"}), rules):
            assert label_verbalizer(words, [0, 1], None) is words

    @pytest.mark.parametrize("names", [["neg", "pos"], ["pos", "neg"]])
    def test_a_column_of_classes_has_names(self, names):
        numbered = {number: WORDS.label_words()[name] for number, name in enumerate(names)}
        y = class_label([0, 1], names)
        assert label_verbalizer(WORDS, [0, 1], y) == Verbalizer(numbered)
        assert label_verbalizer(None, [0, 1], y).label_words() == {0: [names[0]], 1: [names[1]]}

    def test_numbers_that_become_words_are_told(self):
        with pytest.warns(UserWarning, match="without a verbalizer every label is its own word, here the numbers 0, 1"):
            label_verbalizer(None, [1, 0], None)
        assert label_verbalizer(None, [1, 5], None).first_words == ("1", "5")
        with pytest.raises(DataError, match="y holds only the label 'good'"):
            label_verbalizer(None, ["good"], None)

    @pytest.mark.parametrize("other", ["Good", "good ", " good", "ｇood"])
    def test_two_spellings_of_one_label_are_no_two_words(self, other):
        with pytest.raises(DataError, match=f"row 2: label '{other}' is 'good' in another row: write them alike"):
            label_verbalizer(None, ["good", "bad", other], None)
        assert label_verbalizer(Verbalizer({"good": "fine", other: "poor"}), ["good", other], None).labels


MATRIX = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
SETS = [["pos"], ["neg"], ["neg", "pos"], []]
INDICATORS = {
    "lists": SETS,
    "sets": [{*labels} for labels in SETS],
    "arrays": [np.array(labels) for labels in SETS],
    "series": pd.Series(SETS),
    "polars lists": pl.Series(SETS),
    "frame of one column": pd.DataFrame({"labels": SETS}),
    "polars frame of one column": pl.DataFrame({"labels": SETS}),
    "pyarrow lists": pa.array(SETS),
    "matrix": MATRIX,
    "truth values": MATRIX.astype(bool),
    "objects": MATRIX.astype(object),
    "torch": torch.tensor(MATRIX),
    "sparse": csr_matrix(MATRIX),
    "sparse array": csr_array(MATRIX),
    "frame": pd.DataFrame(MATRIX, columns=["neg", "pos"]),
    "frame in another order": pd.DataFrame(MATRIX[:, ::-1], columns=["pos", "neg"]),
    "polars": pl.DataFrame({"pos": MATRIX[:, 1], "neg": MATRIX[:, 0]}),
    "pyarrow": pa.table({"pos": MATRIX[:, 1], "neg": MATRIX[:, 0]}),
    "dataset": datasets.Dataset.from_dict({"pos": MATRIX[:, 1], "neg": MATRIX[:, 0]}),
}


@pytest.mark.parametrize("kind", INDICATORS)
def test_several_labels_of_every_library(kind):
    np.testing.assert_array_equal(as_indicators(INDICATORS[kind], WORDS), MATRIX)


def test_several_labels_that_are_numbers():
    words = Verbalizer({0: "bad", 1: "good"})
    frames = pd.DataFrame(MATRIX), pl.DataFrame({"0": MATRIX[:, 0], "1": MATRIX[:, 1]})
    for y in (*frames, [[1], [np.int64(0)], [0, 1.0], []]):
        np.testing.assert_array_equal(as_indicators(y, words), MATRIX)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        ([["pos"], None], "row 1 of y is None; expected a collection of labels"),
        ([["pos"], float("nan")], "row 1 of y is nan"),
        ([["pos"], "neg"], "row 1 of y is 'neg'"),
        ([["pos"], b"neg"], "row 1 of y is b'neg'"),
        ([{"pos": 1, "neg": 0}], "row 0 of y is {'pos': 1, 'neg': 0}"),
        ([["pos", None]], "row 0 has the label None, a missing value"),
        ([["poss"]], "did you mean 'pos'"),
        ([[0, 1]], "numbers and text are different labels"),
        ({("pos",)}, "y is a set, which has no order"),
        (MATRIX * 2, r"y has 2 in row 0, column 1; expected a column of 0 and 1 for each of \['neg', 'pos'\]"),
        (np.where(MATRIX, np.nan, 0), "y has nan in row 0"),
        (
            pd.DataFrame({"neg": pd.array([None], dtype="Int64"), "pos": [1]}),
            "y is a matrix of other values than numbers",
        ),
        (MATRIX[:, :1], r"y has shape \(4, 1\)"),
        (pd.DataFrame(MATRIX), r"y has the columns \[0, 1\], the verbalizer the labels"),
    ],
)
def test_what_are_no_labels_of_several(y, message):
    with pytest.raises(DataError, match=message):
        as_indicators(y, WORDS)


def test_probabilities_of_a_frame_follow_its_columns():
    values = np.array([[0.25, 0.75]])
    for frame in (pd.DataFrame(values[:, ::-1], columns=["pos", "neg"]), pl.DataFrame({"pos": [0.75], "neg": [0.25]})):
        assert as_probabilities(frame, 1, WORDS).tolist() == values.tolist()
    assert as_probabilities(pd.DataFrame(values), 1, WORDS).tolist() == values.tolist()


@pytest.mark.parametrize("wrong", ["ab", None, [["a", "b"]], [[0.5], [0.5, 0.5]], [[float("nan"), 1.0]], [[0.5, 0.6]]])
def test_what_are_no_probabilities(wrong):
    with pytest.raises(DataError, match="probabilities"):
        as_probabilities(wrong, 1, WORDS)
