"""Read rows of CSV, TSV, JSON lines and Parquet files lazily, and turn them into examples."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from softcloze.errors import CommandError, FileError
from softcloze.formatting import did_you_mean
from softcloze.template import Template

Row = dict[str, Any]
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl", ".parquet")
CHUNK = 1000  # rows of Parquet in one batch


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows, which are read when they are needed.

    Attributes:
        path: the file.
        columns: names of the columns; for JSON lines every name that occurs, in order of first appearance.
        count: number of rows, including damaged ones.
    """

    path: Path
    columns: tuple[str, ...]
    count: int

    def lines(self) -> Iterator[Row | FileError]:
        """Read every row as a mapping from column to value, or as the error of a damaged row.

        A row of JSON lines may lack columns.
        """
        return _read_lines(self.path)

    def rows(self) -> Iterator[Row]:
        """Read every row.

        Raises:
            FileError: a row is damaged; names its line.
        """
        for line in self.lines():
            if isinstance(line, FileError):
                raise line
            yield line

    def reader(self, template: Template, text_column: str | None) -> Callable[[Row], Row]:
        """Make the function that turns a row into an example for `template`.

        Raises:
            FileError: a column is missing.
            CommandError: `text_column` with a template of several fields.
        """
        if text_column is None:
            for name in template.fields:
                if name in template.variables:
                    continue  # it may be missing if the template tests for it
                self.validate_column(name, hint=" (--text-column names another)" if len(template.fields) == 1 else "")
            return lambda row: row
        if len(template.fields) != 1:
            raise CommandError(
                f"--text-column is for templates with one field; this one reads the columns "
                f"{', '.join(map(repr, template.fields)) or '(none)'}"
            )
        self.validate_column(text_column)
        (name,) = template.fields
        return lambda row: _renamed(row, text_column, name)

    def examples(self, template: Template, text_column: str | None) -> list[Row]:
        """All rows as examples for `template`; raises as `reader` and `rows`."""
        return [*map(self.reader(template, text_column), self.rows())]

    def labels(self, column: str) -> list[str]:
        """The labels, as text.

        Raises:
            FileError: the column is missing, a row has no label or is damaged; names it.
        """
        self.validate_column(column, hint=" (--label-column names another)")
        labels = []
        for number, row in enumerate(self.rows()):
            if row.get(column) is None:
                raise FileError(f"{self.path}: row {number} has no {column!r}")
            labels.append(str(row[column]))
        return labels

    def validate_column(self, column: str, hint: str = "") -> None:
        """Raise FileError if the file has no column of this name; `hint` ends the message."""
        if column not in self.columns:
            has = ", ".join(map(repr, self.columns))
            raise FileError(
                f"{self.path} has no column {column!r}; it has {has}{did_you_mean(column, self.columns)}{hint}"
            )


def open_table(path: Path) -> Table:
    """Check a CSV, TSV, JSON lines or Parquet file, and find its columns.

    CSV values stay text: "007", "NA" and "null" are neither numbers nor missing values.

    Raises:
        FileError: the file does not exist, has an unknown suffix, is empty, or is damaged beyond single rows; names it
            and the line.
    """
    path = path.expanduser()
    validate_suffix(path)
    if path.is_dir():
        raise FileError(f"{path} is a folder, expected a file")
    if not path.exists():
        raise FileError(
            f"there is no file {path}{did_you_mean(path.name, (other.name for other in path.parent.glob('*')))}"
        )
    columns: dict[str, None] = {}
    count, damaged = 0, []
    for line in _read_lines(path):
        count += 1
        if isinstance(line, FileError):
            damaged.append(line)
        else:
            columns.update(dict.fromkeys(line))
    if not count:
        raise FileError(f"{path} is empty: it holds no rows")
    if len(damaged) == count:
        raise damaged[0]
    return Table(path, tuple(columns), count)


def validate_suffix(path: Path) -> None:
    """Raise FileError if the suffix of `path` is not one of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise FileError(f"{path} has an unknown ending {path.suffix!r}; expected {', '.join(SUFFIXES)}")


def _read_lines(path: Path) -> Iterator[Row | FileError]:
    try:
        match path.suffix.lower():
            case ".parquet":
                yield from _read_parquet(path)
            case ".jsonl":
                yield from _read_json_lines(path)
            case suffix:
                yield from _read_csv(path, DELIMITERS[suffix])
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 text: {error.reason}; convert it first") from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def _read_csv(path: Path, delimiter: str) -> Iterator[Row | FileError]:
    csv.field_size_limit(sys.maxsize)  # a text may be long; the limit is this process's own
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            columns = tuple(next(reader, ()))
            _check_unique(columns, path)
            for values in reader:
                if len(values) == len(columns):
                    yield dict(zip(columns, values, strict=True))
                elif values:
                    yield FileError(
                        f"{path}, line {reader.line_num}: {len(values)} values where the header names {len(columns)} "
                        "columns; put quotes around texts that hold a delimiter"
                    )
        except csv.Error as error:  # after a wrong quote the ends of rows are unknown
            raise FileError(f"{path}, line {reader.line_num}: {error}") from error


def _read_json_lines(path: Path) -> Iterator[Row | FileError]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.rstrip())
            except (ValueError, RecursionError) as error:
                yield FileError(f"{path}, line {number}: not JSON: {error}")
                continue
            if isinstance(row, dict):
                yield row
            else:
                yield FileError(f"{path}, line {number}: expected a JSON object, found {line.strip()!r:.60}")


def _read_parquet(path: Path) -> Iterator[Row]:
    parquet = import_parquet()
    from pyarrow import ArrowException

    try:
        # page by page: a row group may be as large as the file
        with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            for batch in file.iter_batches(CHUNK):
                yield from batch.to_pylist()
    except ArrowException as error:
        raise FileError(f"cannot read {path}: {error}") from error


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


def _renamed(row: Row, column: str, name: str) -> Row:
    """The row with `column` under `name` as well; without either where it lacks the column."""
    others = {key: value for key, value in row.items() if key != name}
    return others | {name: row[column]} if column in row else others


def _check_unique(columns: Iterable[str], path: Path) -> None:
    seen = set()
    for column in columns:
        if column in seen:
            raise FileError(f"{path}: the column {column!r} occurs twice in the header")
        seen.add(column)
