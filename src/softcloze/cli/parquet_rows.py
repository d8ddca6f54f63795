"""Read the rows of Parquet files with pyarrow, which is imported only for them."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

from softcloze.errors import CommandError, FileError

CHUNK = 1000  # rows in one batch


def read_parquet(path: Path, name: object) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read every row with its number, counted from 1.

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
            batches = (batch.to_pylist() for batch in file.iter_batches(CHUNK))
            yield from enumerate(chain.from_iterable(batches), start=1)
    except (ArrowException, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {name}: {error}") from error


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
