"""Write rows to CSV, TSV, JSON lines and Parquet files, and JSON lines to standard output."""

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from softcloze.cli.console import warn
from softcloze.cli.delimited import Row
from softcloze.cli.file_format import DELIMITERS, kind_of
from softcloze.cli.input_files import Table
from softcloze.cli.parquet_rows import import_parquet
from softcloze.errors import FileError
from softcloze.files import explain_write_errors, resolve, validate_writable
from softcloze.formatting import replace_surrogates

if TYPE_CHECKING:
    from pyarrow import Array, Field, Schema


ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
INFERRED = 10_000  # rows whose types are inferred together
GROUP = 10_000  # rows of a Parquet row group, which are in memory together


def validate_ending(out: Path) -> None:
    """Raise FileError if rows are not written to files with the ending of `out`."""
    if kind_of(out) not in (*DELIMITERS, "jsonl", "parquet") or (kind_of(out) == "parquet" and _is_compressed(out)):
        raise FileError(
            f"{out} has an unknown ending {out.suffix!r}; expected {', '.join(ENDINGS)}, and .gz after those of text"
        )


def is_same(out: Path, path: Path) -> bool:
    """Return True if `out`, which may not exist, is the file `path`, be it by a link or by a path through `..`."""
    with explain_write_errors(out):
        target = resolve(out)
        return target.exists() and path.exists() and target.samefile(path)


def validate_page(page: Path, source: Path) -> None:
    """Make sure that a page can be written, and does not replace the file that it reports on.

    Raises:
        FileError: it cannot be written, or is `source`.
    """
    validate_writable(page)
    if is_same(page, source):
        raise FileError(f"{page} is the file of the rows, which the page would replace; name another one")


def writer_for(path: Path, table: Table, names: Sequence[str]) -> Callable[[Path, Iterable[Row]], None]:
    """Choose the function that writes rows to a file, by the suffix of `path`.

    A lone surrogate, which UTF-8 cannot hold, becomes the escape that JSON has for it, elsewhere, with a warning, a
    question mark.

    Args:
        path: the file to write.
        table: the rows of the input.
        names: names of the new columns: a text, numbers, and a text.

    Raises:
        FileError: a Parquet file cannot hold the values of a column, which are of several kinds.
        CommandError: Parquet files need pyarrow, which is not installed.
    """
    kind, is_compressed = kind_of(path), _is_compressed(path)
    if kind != "jsonl" and table.source.kind in ("json", "jsonl"):
        _warn_of_surrogates(path, table)
    match kind:
        case "parquet":
            return partial(_write_parquet, schema=_schema(path, table, names))
        case "jsonl":
            return partial(_write_json_lines, is_compressed=is_compressed)
        case _:
            columns = (*table.columns, *names)
            return partial(_write_csv, columns=columns, delimiter=DELIMITERS[str(kind)], is_compressed=is_compressed)


def print_row(row: Row) -> None:
    """Write a row to standard output, as a line of JSON."""
    line = json.dumps(row, ensure_ascii=False, default=str) + "\n"
    sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace"))


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _warn_of_surrogates(path: Path, table: Table) -> None:
    """Name the first row with a lone surrogate, which only JSON can write."""
    for index, line in enumerate(table.lines()):
        text = "" if isinstance(line, FileError) else json.dumps(line, ensure_ascii=False)
        if replace_surrogates(text) != text:
            place = f"{table.source}, {table.place(index)}"
            warn(f"{place}: half a character (a lone surrogate) becomes a question mark in {path}; .jsonl keeps it")
            return


@contextmanager
def _open_new(path: Path, errors: str, *, is_compressed: bool) -> Iterator[IO[str]]:
    """Open a file for writing text; a compressed one has neither its name nor a time in it."""
    with path.open("wb") as file:
        stream = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if is_compressed else file
        with TextIOWrapper(stream, "utf-8", errors, newline="") as text:
            yield text


def _write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str], delimiter: str, *, is_compressed: bool) -> None:
    with _open_new(path, "replace", is_compressed=is_compressed) as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter)
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: object) -> object:
    """The value, with lists and objects of JSON as JSON."""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


def _write_json_lines(path: Path, rows: Iterable[Row], *, is_compressed: bool) -> None:
    with _open_new(path, "backslashreplace", is_compressed=is_compressed) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def _write_parquet(path: Path, rows: Iterable[Row], schema: "Schema") -> None:
    import pyarrow

    rows = iter(rows)
    with import_parquet().ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, GROUP)):
            writer.write_table(pyarrow.table(_arrays(group, schema), schema=schema))


def _schema(path: Path, table: Table, names: Sequence[str]) -> "Schema":
    """Names and types of the columns: those of a Parquet input, or types that hold all values."""
    parquet = import_parquet()
    import pyarrow

    label, *chances, error = names
    added = [(label, pyarrow.string()), *((name, pyarrow.float64()) for name in chances), (error, pyarrow.string())]
    try:
        if table.source.kind == "parquet":
            # metadata of other libraries would describe the old columns only
            fields = list(map(_plain, parquet.read_schema(table.source.path).remove_metadata()))
        elif table.source.kind in (*DELIMITERS, "txt"):
            fields = [pyarrow.field(name, pyarrow.string()) for name in table.columns]
        else:
            fields = list(_inferred(table))
        schema = pyarrow.schema([*fields, *added])
        parquet.write_table(schema.empty_table(), pyarrow.BufferOutputStream())  # not every type can be written
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError) as problem:
        raise FileError(f"cannot write {path}: {problem}; .jsonl takes every kind of row") from problem
    return schema


def _plain(field: "Field") -> "Field":
    """The field with its values instead of indices into a dictionary, which differs between row groups."""
    import pyarrow

    return field.with_type(field.type.value_type) if pyarrow.types.is_dictionary(field.type) else field


def _inferred(table: Table) -> "Schema":
    """Types that hold all values of JSON lines; they are known only after all rows are read."""
    import pyarrow

    schema = pyarrow.schema([(name, pyarrow.null()) for name in table.columns])
    for rows in _chunks(table):
        chunk = pyarrow.schema([(name, pyarrow.array(_values(rows, name)).type) for name in table.columns])
        schema = pyarrow.unify_schemas([schema, chunk], promote_options="permissive")
    for rows in _chunks(table):
        _arrays(rows, schema)  # a large number may not fit a column of fractions: raise now, not after an hour
    return schema


def _chunks(table: Table) -> Iterator[list[Row]]:
    lines = table.all_lines()  # a part of a file has the types of all of it
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
