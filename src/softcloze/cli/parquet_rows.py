"""Read the rows of Parquet files with pyarrow, which is imported only for them."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from itertools import accumulate, chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

from softcloze.errors import CommandError, FileError

CHUNK = 1000  # rows in one batch
FRAME = 8  # bytes after the metadata: their length and a mark
BLOCK = 2**20  # bytes that are read at once


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


class ParquetParts:
    """Checksums of parts of a file, for which each row group is read once; errors as of `read_parquet`."""

    def __init__(self, path: Path, name: object) -> None:
        parquet = import_parquet()
        from pyarrow import ArrowException

        try:
            self._metadata = parquet.read_metadata(path)
        except ArrowException as error:
            raise FileError(f"cannot read {name}: {error}") from error
        self._path, self._name, self._size = path, name, path.stat().st_size
        sizes = (self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups))
        self._starts = [*accumulate(sizes, initial=0)]
        self._groups: dict[int, str] = {}

    def checksum(self, rows: range) -> str:
        """SHA-256 of the end of the file, with the places of all data, and of the row groups that contain some rows."""
        first, last = (bisect_right(self._starts, row) - 1 for row in (rows.start, rows.stop - 1))
        digests = [self._end, *map(self._group, range(first, last + 1))]
        return sha256("".join(digests).encode()).hexdigest()

    @cached_property
    def _end(self) -> str:
        length = self._metadata.serialized_size + FRAME
        return self._digest([(self._size - length, length)])

    def _group(self, group: int) -> str:
        if group not in self._groups:
            part = self._metadata.row_group(group)
            self._groups[group] = self._digest([_place(part.column(column)) for column in range(part.num_columns)])
        return self._groups[group]

    def _digest(self, places: Sequence[tuple[int, int]]) -> str:
        """SHA-256 of the bytes at some places, each with its length."""
        digest = sha256()
        with self._path.open("rb") as file:
            for start, length in places:
                if not 0 <= start <= start + length <= self._size:
                    raise FileError(f"cannot read {self._name}: it is damaged: its data are not where it says")
                file.seek(start)
                for offset in range(0, length, BLOCK):
                    digest.update(file.read(min(BLOCK, length - offset)))
        return digest.hexdigest()


def _place(chunk: Any) -> tuple[int, int]:  # noqa: ANN401
    """Start and length of a column of a row group; its dictionary comes before its values."""
    starts = [offset for offset in (chunk.dictionary_page_offset, chunk.data_page_offset) if offset]
    return min(starts, default=0), chunk.total_compressed_size


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
