"""Rows into files: in parts that are put together at the end, in each of the formats."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from softcloze.cli.input_files import Row, Table, import_parquet
from softcloze.errors import FileError

if TYPE_CHECKING:
    from pyarrow import Array, Field, Schema


INFERRED = 10_000  # rows whose types are found together
GROUP = 10_000  # rows in a group of Parquet, which is what is in memory when parts are put together


class Format(Protocol):
    """How rows become a file."""

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        """Write some of the rows to a part of the file."""

    def join(self, parts: Iterable[Path], path: Path) -> None:
        """Make one file of all parts."""


@dataclass(frozen=True, slots=True)
class Csv:
    """Values with a delimiter between them; parts have no header."""

    columns: Sequence[str]
    delimiter: str

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        """As `Format.write`; a lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            self._writer(file).writerows(rows)

    def join(self, parts: Iterable[Path], path: Path) -> None:
        """As `Format.join`."""
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            self._writer(file).writeheader()
        _append(parts, path)

    def _writer(self, file: IO[str]) -> "csv.DictWriter[str]":
        return csv.DictWriter(file, self.columns, delimiter=self.delimiter)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """A JSON object on each line."""

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        r"""As `Format.write`; a lone surrogate comes out as the \ud83d that JSON writes for it."""
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

    def join(self, parts: Iterable[Path], path: Path) -> None:
        """As `Format.join`."""
        _append(parts, path)


@dataclass(frozen=True, slots=True)
class Parquet:
    """Columns of one type each."""

    schema: "Schema"

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        """As `Format.write`; a lone surrogate becomes a question mark."""
        import pyarrow

        import_parquet().write_table(pyarrow.table(_arrays(rows, self.schema), schema=self.schema), path)

    def join(self, parts: Iterable[Path], path: Path) -> None:
        """As `Format.join`; where one part ended and the next began leaves no trace."""
        import pyarrow

        parquet = import_parquet()
        waiting = self.schema.empty_table()
        with parquet.ParquetWriter(path, self.schema) as writer:
            for part in parts:
                waiting = pyarrow.concat_tables([waiting, parquet.ParquetFile(part).read()])
                while waiting.num_rows >= GROUP:
                    writer.write_table(waiting.slice(0, GROUP).combine_chunks())
                    waiting = waiting.slice(GROUP)
            writer.write_table(waiting.combine_chunks())


def format_of(path: Path, table: Table, names: Sequence[str]) -> Format:
    """The format that the ending of `path` names, for the rows of `table` with new columns.

    Args:
        path: what will be written.
        table: the rows.
        names: of the new columns: a text, numbers, and a text.

    Raises:
        FileError: the values of a column are of several kinds and it is Parquet.
        CommandError: it is Parquet, and what writes that is not installed.
    """
    match path.suffix.lower():
        case ".parquet":
            return Parquet(_schema(path, table, names))
        case ".jsonl":
            return JsonLines()
        case suffix:
            return Csv((*table.columns, *names), "\t" if suffix == ".tsv" else ",")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of which file it is that something cannot be written.

    Raises:
        FileError: names the file.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def _append(parts: Iterable[Path], path: Path) -> None:
    with path.open("ab") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)


def _schema(path: Path, table: Table, names: Sequence[str]) -> "Schema":
    """Names and types of the columns: those of a Parquet file, or such as hold all values."""
    parquet = import_parquet()
    import pyarrow

    label, *chances, error = names
    added = [(label, pyarrow.string()), *((name, pyarrow.float64()) for name in chances), (error, pyarrow.string())]
    try:
        if table.path.suffix.lower() == ".parquet":
            # metadata of other libraries would tell of the old columns only
            own = list(map(_plain, parquet.read_schema(table.path).remove_metadata()))
        else:
            own = list(_inferred(table))
        schema = pyarrow.schema([*own, *added])
        parquet.write_table(schema.empty_table(), pyarrow.BufferOutputStream())  # not every type can be written
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError) as problem:
        raise FileError(f"cannot write {path}: {problem}; .jsonl takes every kind of row") from problem
    return schema


def _plain(field: "Field") -> "Field":
    """The field with its values themselves instead of numbers of a dictionary, which differs from part to part."""
    import pyarrow

    return field.with_type(field.type.value_type) if pyarrow.types.is_dictionary(field.type) else field


def _inferred(table: Table) -> "Schema":
    """Types that hold all values of the table."""
    import pyarrow

    found = pyarrow.schema([(name, pyarrow.null()) for name in table.columns])
    for rows in _chunks(table):
        own = [(name, pyarrow.array(_values(rows, name)).type) for name in table.columns]
        found = pyarrow.unify_schemas([found, pyarrow.schema(own)], promote_options="permissive")
    for rows in _chunks(table):
        _arrays(rows, found)  # a large number may not fit where others have fractions; better now than in an hour
    return found


def _chunks(table: Table) -> Iterator[list[Row]]:
    lines = table.lines()
    while chunk := list(islice(lines, INFERRED)):
        yield [line for line in chunk if not isinstance(line, FileError)]


def _arrays(rows: Sequence[Row], schema: "Schema") -> "list[Array]":
    """The values of each column."""
    import pyarrow

    return [pyarrow.array(_values(rows, field.name), field.type) for field in schema]


def _values(rows: Iterable[Row], name: str) -> list[object]:
    return [_writable(row.get(name)) for row in rows]


def _writable(value: object) -> object:
    """The value without lone surrogates, which UTF-8 cannot hold."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case list():
            return [_writable(item) for item in value]
        case dict():
            return {_writable(key): _writable(item) for key, item in value.items()}
        case _:
            return value
