"""Examples: rows of lists, arrays, frames and tables as texts or mappings."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from softcloze.errors import DataError
from softcloze.formatting import quoted, quoted_list
from softcloze.template import is_field_name

Example: TypeAlias = str | Mapping[str, object]
"""The text of the only field, or a mapping from field names to values."""


def as_examples(X: Iterable[Example], fields: Sequence[str] = ()) -> list[Example]:
    """Convert a collection, an array or a data frame to a list of examples.

    Args:
        X: a list, an array of shape (examples,) or (examples, 1), a column or a frame of pandas or polars, a
            `datasets.Dataset` or a table of pyarrow.
        fields: fields of the template. If there is one, a frame of one column has its texts, whatever their name.

    Raises:
        DataError: `X` is a single text or example, a set, which has no order, or a matrix of several columns.

    >>> as_examples(np.array(["good", "bad"]))
    ['good', 'bad']
    """
    return list(iterate_examples(X, fields))


def iterate_examples(X: Iterable[Example], fields: Sequence[str] = ()) -> Iterator[Example]:
    """Iterate lazily over the examples of `X`; otherwise as `as_examples`.

    >>> next(iterate_examples(text for text in ["good", "bad"]))
    'good'
    """
    validate_collection(X, "X", "a list of texts or of mappings")
    frame: Any = X
    output = getattr(frame, "format", None)
    kind = output.get("type") if isinstance(output, Mapping) else None  # of datasets
    if kind == "custom":
        return iter(frame)  # a function makes the columns
    if kind in ("arrow", "pandas", "polars"):
        frame = frame.with_format(None)  # its rows are tables
    columns = column_names(frame, "X")
    if columns is None or (len(columns) == 1 and len(fields) == 1):
        return iterate_column(frame, "X", "text")
    if hasattr(frame, "iter_rows"):  # of polars
        return iter(frame.iter_rows(named=True))
    if hasattr(frame, "to_pylist"):  # of pyarrow
        return iter(frame.to_pylist())
    return iter(frame.to_dict("records") if hasattr(frame, "iloc") else frame)


def as_texts(X: Iterable[Example], of: str = "") -> list[str]:
    """Convert examples of a single field to plain texts.

    Raises:
        DataError: an example is not a text; names the row, and `of`, such as " of the training examples".
    """
    examples = as_examples(X, ["text"])
    for row, text in enumerate(examples):
        if not isinstance(text, str):
            raise DataError(f"row {row}{of} is {quoted(text)}; expected a text")
    return list(map(str, examples))


def shown_fields(examples: Sequence[Example]) -> list[str]:
    """The names of all fields of examples, by the first one: "text" for texts.

    Raises:
        DataError: a name is not one that a tag of a template can have.

    >>> shown_fields([{"title": "A", "text": "B"}]), shown_fields(["A"])
    (['title', 'text'], ['text'])
    """
    fields = list(examples[0]) if isinstance(examples[0], Mapping) else ["text"]
    for field in fields:
        if not is_field_name(field):
            raise DataError(
                f"the examples have a field {field!r}, which no tag can name; rename it to letters, digits and "
                "underscores, such as 'text', or leave it out"
            )
    return fields


def validate_collection(values: object, name: str, expected: str) -> None:
    """Raise DataError if `values` is not an ordered collection; `expected` describes what `name` should be."""
    if hasattr(values, "collect_schema") and hasattr(values, "collect"):
        raise DataError(f"{name} is a {type(values).__name__}, which has no rows yet; pass {name}.collect()")
    if values is None:
        raise DataError(f"{name} is None; it has to be {expected}")
    if isinstance(values, set | frozenset):
        raise DataError(f"{name} is a {type(values).__name__}, which has no order; it has to be {expected}")
    several = isinstance(values, Iterable) or hasattr(values, "to_pylist")  # a table of pyarrow is not Iterable
    single = not several or getattr(values, "ndim", 1) == 0
    if single or isinstance(values, str | bytes | Mapping):
        hint = ""
        if isinstance(values, Mapping):
            hint = "; of a DatasetDict pass one split" if hasattr(values, "column_names") else ""
        raise DataError(f"{name} has to be {expected}, got one {type(values).__name__}: {quoted(values, 60)}{hint}")


def column_names(values: Any, name: str) -> list[Any] | None:  # noqa: ANN401 - many libraries have frames
    """Names of the columns of a frame or a table; None for other collections.

    Raises:
        DataError: a name stands twice, or columns have several levels.
    """
    columns = getattr(values, "column_names", None)
    if columns is None:
        columns = getattr(values, "columns", None)
    if columns is None or callable(columns):
        return None
    names = list(columns)
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{name} has several columns named {twice[0]!r}; give each its own name")
    if getattr(columns, "nlevels", 1) > 1:
        raise DataError(f"{name} has columns of {columns.nlevels} levels, such as {names[0]!r}; give each one name")
    return names


def iterate_column(values: Any, name: str, what: str) -> Iterator[Any]:  # noqa: ANN401 - many libraries have columns
    """Iterate over the values of a column: a list, an array of shape (n,) or (n, 1), or a frame of one column.

    Args:
        values: the column.
        name: its name in messages.
        what: the kind of one of its values, for messages.

    Raises:
        DataError: several columns.
    """
    columns = column_names(values, name)
    if columns is not None:
        if len(columns) != 1:
            hint = f"; pass one, as in {name}[{columns[-1]!r}]" if columns else ""
            raise DataError(f"{name} has the columns {quoted_list(columns)}; expected one {what} per example{hint}")
        values = values[columns[0]]
    if hasattr(values, "to_pylist"):  # of pyarrow
        return iter(values.to_pylist())
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        if not hasattr(values, "tolist") or len(shape) != 2 or shape[1] != 1:
            hint = "; for several fields pass a frame or mappings" if what == "text" else ""
            raise DataError(f"{name} has shape {shape}; expected one {what} per example, shape (examples,){hint}")
        values = (np.asarray(values) if isinstance(values, np.matrix) else values)[:, 0]
    # of dates and durations tolist makes integers
    return iter(values.tolist() if isinstance(values, np.ndarray) and values.dtype.kind not in "mM" else values)


def row_name(values: Any, row: int) -> str:  # noqa: ANN401 - many libraries have rows
    """A row in messages, with its name in an index of pandas that does not count from 0.

    >>> row_name(["good", "bad"], 1)
    'row 1'
    """
    name = values.index[row] if hasattr(values, "iloc") else row
    return f"row {row}" if name is row or (isinstance(name, Integral) and name == row) else f"row {row} (index {name})"


def normalise(text: str) -> str:
    """Normalise Unicode form, case and white space, so that spellings of one text compare equal.

    >>> normalise("  ＡBC   Def ")
    'abc def'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
