"""Read the rows of Parquet files with pyarrow, which is imported only for them."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import accumulate, chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

from softcloze.errors import CommandError, FileError

CHUNK = 1000  # rows in one batch


def read_parquet(path: Path, name: object, first: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read every row from an index on with its number, counted from 1; groups of rows before it are not read.

    Raises:
        FileError: the file is damaged; says its `name`.
        CommandError: pyarrow is not installed.
    """
    parquet = import_parquet()
    from pyarrow import ArrowException

    try:
        # page by page: a row group may be as large as the file
        with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            validate_unique(file.schema_arrow.names, name)
            sizes = (file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
            starts = [*accumulate(sizes, initial=0)]
            groups = [group for group, end in enumerate(starts[1:]) if end > first]
            batches = (batch.to_pylist() for batch in file.iter_batches(CHUNK, row_groups=groups))
            skipped = first - starts[groups[0]] if groups else 0
            yield from enumerate(islice(chain.from_iterable(batches), skipped, None), start=first + 1)
    except (ArrowException, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {name}: {error}") from error


def read_shape(path: Path, name: object) -> tuple[tuple[str, ...], int]:
    """The columns and the number of rows, from the end of the file alone; errors as of `read_parquet`."""
    parquet = import_parquet()
    from pyarrow import ArrowException

    try:
        metadata = parquet.read_metadata(path)
        columns = tuple(metadata.schema.to_arrow_schema().names)
    except ArrowException as error:
        raise FileError(f"cannot read {name}: {error}") from error
    validate_unique(columns, name)
    return columns, metadata.num_rows


def validate_unique(columns: Sequence[str], name: object) -> None:
    """Raise FileError if two columns have the same name."""
    for i, column in enumerate(columns):
        if column in columns[:i]:
            raise FileError(f"{name}: the column {column!r} occurs twice in the header; rename one")


def import_parquet() -> ModuleType:
    """Import pyarrow.parquet.

    Raises:
        CommandError: it is not installed; says how to install it.
    """
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise CommandError(
            "Parquet files are read and written with pyarrow, which is not installed; "
            "install it with: pip install 'softcloze[files]'"
        ) from error
