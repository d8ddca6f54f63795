"""Examples of every kind of collection, array, frame and table."""

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from softcloze.data import as_examples
from softcloze.errors import DataError

TEXTS = ["好看", "bad", ""]
ROWS = [{"text": text, "year": 1999} for text in TEXTS]
DATASET = datasets.Dataset.from_dict({"text": TEXTS, "year": [1999] * 3})
COLUMNS = {
    "tuple": tuple(TEXTS),
    "generator": iter(TEXTS),
    "numpy": np.array(TEXTS),
    "column of an array": np.array(TEXTS)[:, None],
    "column of objects": np.array(TEXTS, dtype=object)[:, None],
    "series": pd.Series(TEXTS, index=[0, 0, 0]),
    "string dtype": pd.Series(TEXTS, dtype="string"),
    "category": pd.Series(TEXTS, dtype="category"),
    "polars": pl.Series(TEXTS),
    "pyarrow": pa.array(TEXTS),
    "pyarrow chunks": pa.chunked_array([TEXTS]),
    "datasets": DATASET["text"],
}
FRAMES = {
    "pandas": pd.DataFrame(ROWS),
    "pandas with an index": pd.DataFrame(ROWS, index=pd.MultiIndex.from_tuples([(0, 0), (0, 0), (1, 0)])),
    "polars": pl.DataFrame(ROWS),
    "pyarrow": pa.Table.from_pylist(ROWS),
    "pyarrow batch": pa.Table.from_pylist(ROWS).to_batches()[0],
    "datasets": DATASET,
    "datasets with a function": datasets.Dataset.from_dict({"row": [*range(3)]}).with_transform(
        lambda batch: {name: [ROWS[row][name] for row in batch["row"]] for name in ROWS[0]}
    ),
    "datasets as pandas": DATASET.with_format("pandas"),
    "datasets as polars": DATASET.with_format("polars"),
    "datasets as arrow": DATASET.with_format("arrow"),
    "iterable": DATASET.to_iterable_dataset(),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns(kind):
    examples = as_examples(COLUMNS[kind])
    assert examples == TEXTS
    assert all(isinstance(text, str) for text in examples)


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind):
    """KhiopsML/khiops-python#292: frames of polars and tables of pyarrow as those of pandas."""
    assert as_examples(FRAMES[kind], ["text"]) == ROWS


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "datasets"])
def test_a_frame_of_one_column_has_the_texts_of_the_only_field(kind):
    frame = {
        "pandas": pd.DataFrame({"review": TEXTS}),
        "polars": pl.DataFrame({"review": TEXTS}),
        "pyarrow": pa.table({"review": TEXTS}),
        "datasets": datasets.Dataset.from_dict({"review": TEXTS}),
    }[kind]
    assert as_examples(frame, ["text"]) == TEXTS
    assert as_examples(frame, ["text", "title"]) == [{"review": text} for text in TEXTS]


def test_columns_without_names():
    assert as_examples(pd.DataFrame(TEXTS), ["text"]) == TEXTS
    assert as_examples(pd.DataFrame({"text": []}), ["text"]) == []


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, "X is None; it has to be a list of texts or of mappings"),
        ("text", "X has to be a list of texts or of mappings, got one str"),
        (b"text", "got one bytes"),
        (5, "got one int"),
        (dict, "got one type"),
        (np.array("text"), "got one ndarray"),
        ({"text": TEXTS}, "got one dict"),
        ({*TEXTS}, "X is a set, which has no order"),
        (frozenset(TEXTS), "X is a frozenset, which has no order"),
        (datasets.DatasetDict({"train": DATASET}), "pass one split"),
        (pl.DataFrame({"text": TEXTS}).lazy(), r"X is a LazyFrame, which has no rows yet; pass X.collect\(\)"),
        (
            np.array([TEXTS, TEXTS]),
            r"X has shape \(2, 3\); expected one text per example, .*; for several fields pass a frame",
        ),
        (torch.zeros(2, 2), r"X has shape torch.Size\(\[2, 2\]\)"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "X has several columns named 'text'"),
        (
            pd.DataFrame({("a", "text"): TEXTS, ("b", "c"): TEXTS}),
            r"X has columns of 2 levels, such as \('a', 'text'\)",
        ),
    ],
)
def test_what_are_no_examples(X, message):
    with pytest.raises(DataError, match=message):
        as_examples(X, ["text"])
