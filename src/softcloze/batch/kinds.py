"""Kinds of batches: their rows as examples, and the same kind with new columns. No library of theirs is imported."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softcloze.data import as_examples
from softcloze.errors import DataError
from softcloze.formatting import quoted

EXPECTED = "a dict of arrays, a frame of pandas, a table or a batch of pyarrow, or a list of texts or dicts"
_ARROW = {bool: "bool", int: "int64", float: "float64", str: "string"}  # names of types


def rows_of(batch: Any, fields: Sequence[str]) -> list[Any]:  # noqa: ANN401 - of many libraries
    """The rows of a batch, as examples; those of lists may be anything.

    Args:
        batch: of any kind.
        fields: fields of the template; if there is one, a batch of one column has its texts, whatever their name.

    Raises:
        DataError: another kind, or columns of different lengths.
    """
    if isinstance(batch, Mapping):
        columns = {name: _values(name, column) for name, column in batch.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len({*lengths.values()}) > 1:
            raise DataError(f"the columns of a batch differ in length: {lengths}")
        if len(columns) == len(fields) == 1:
            return next(iter(columns.values()))
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if isinstance(batch, list | tuple):
        return [*batch]
    if not _is_arrow(batch) and not _is_frame(batch):
        raise DataError(f"a batch has to be {EXPECTED}, found {type(batch).__name__}: {quoted(batch, 60)}")
    return as_examples(batch, fields)


def column_names_of(batch: Any, rows: Sequence[Any]) -> set[Any]:  # noqa: ANN401
    """The names of all columns of a batch; of a list, those of its dicts."""
    if isinstance(batch, Mapping):
        return {*batch}
    if isinstance(batch, list | tuple):
        return {name for row in rows if isinstance(row, Mapping) for name in row}
    return {*(batch.column_names if _is_arrow(batch) else batch.columns)}


def with_columns(batch: Any, added: Mapping[str, Sequence[Any]], kinds: Mapping[str, type], field: str) -> Any:  # noqa: ANN401
    """A batch of the same kind with new columns.

    Args:
        batch: of any kind, which stays as it is.
        added: values of each new column, None where there is none.
        kinds: the type of the values of each new column.
        field: the name of a text in a list.
    """
    if _is_arrow(batch):
        import pyarrow

        for name, values in added.items():
            kind = pyarrow.type_for_alias(_ARROW[kinds[name]])
            batch = batch.append_column(pyarrow.field(name, kind), pyarrow.array(values, kind))
        return batch
    if isinstance(batch, list | tuple):
        rows = (row if isinstance(row, Mapping) else {field: row} for row in batch)
        return [
            {**row, **dict(zip(added, new, strict=True))}
            for row, new in zip(rows, zip(*added.values(), strict=True), strict=True)
        ]
    arrays = {name: _array(values, kinds[name]) for name, values in added.items()}
    if isinstance(batch, Mapping):
        return {**batch, **arrays}
    from pandas import Series

    series = {name: Series(values, batch.index, dtype=values.dtype) for name, values in arrays.items()}
    return batch.assign(**series)


def _is_arrow(batch: object) -> bool:
    return hasattr(batch, "append_column") and hasattr(batch, "to_pylist")


def _is_frame(batch: object) -> bool:
    return hasattr(batch, "assign") and hasattr(batch, "iloc")


def _values(name: object, column: Any) -> list[Any]:  # noqa: ANN401
    """The values of a column of a dict."""
    if hasattr(column, "to_pylist"):  # of pyarrow
        values: list[Any] = column.to_pylist()
        return values
    if isinstance(column, str | bytes | Mapping) or not hasattr(column, "__len__") or getattr(column, "ndim", 1) == 0:
        raise DataError(f"column {name!r} of a batch is {quoted(column, 60)}; expected an array or a list")
    return [*(column.tolist() if isinstance(column, np.ndarray) and column.dtype.kind not in "mM" else column)]


def _array(values: Sequence[Any], kind: type) -> NDArray[Any]:
    """An array of numbers, with nan where there is none, or of objects."""
    if kind is float:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
