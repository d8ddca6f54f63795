"""Read rows of CSV, TSV, JSON lines and Parquet files lazily, and turn them into examples."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from types import ModuleType

from softcloze.cli.console import warn
from softcloze.cli.delimited import DELIMITERS, Line, QuoteCheck, Row, read_delimited, validate_unique
from softcloze.cli.file_kinds import describe_encoding, describe_kind
from softcloze.errors import CommandError, DataError, FieldError, FileError
from softcloze.files import expand_user, unique_keys
from softcloze.formatting import did_you_mean, quoted, quoted_list
from softcloze.parameters import NOT_NEGATIVE
from softcloze.template import Template
from softcloze.template.fields import find_name
from softcloze.verbalizer.labels import as_label, validate_one_kind

SUFFIXES = (*DELIMITERS, ".jsonl", ".parquet")
_MISSING = frozenset(["NA", "#N/A", "nan", "NaN", "<NA>", "NULL", r"\N"])  # as R, Excel, pandas and MySQL write it
NESTING = 100  # levels of lists and objects of JSON
CHUNK = 1000  # rows of Parquet in one batch


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows, which are read when they are needed.

    Attributes:
        path: the file.
        columns: names of the columns; for JSON lines every name that occurs, in order of first appearance.
        count: number of rows, including damaged ones.
        header_is_data: whether the header looks like a row.
        first: index of the first row in the file, where the table is a part of it.
    """

    path: Path
    columns: tuple[str, ...]
    count: int
    header_is_data: bool = False
    first: int = 0

    def part(self, rows: range) -> "Table":
        """The table of some successive rows, with the columns of all."""
        return replace(self, first=rows.start, count=len(rows))

    def lines(self) -> Iterator[Row | FileError]:
        """Read every row as a mapping from column to value, or as the error of a damaged row.

        A row of JSON lines may lack columns.
        """
        return islice(self.all_lines(), self.first, self.first + self.count)

    def all_lines(self) -> Iterator[Row | FileError]:
        """Read the rows of the whole file, as `lines`."""
        return (line for _, line in _read_lines(self.path))

    def place(self, index: int) -> str:
        """The line of a row, for messages, counted from 1 as in editors; of Parquet files its number."""
        number, _ = next(islice(_read_lines(self.path), self.first + index, None))
        return f"{'row' if self.path.suffix.lower() == '.parquet' else 'line'} {number}"

    def problem(self, index: int, reason: object) -> FileError:
        """The error about a row, with its file and line."""
        return FileError(f"{self.path}, {self.place(index)}: {reason}")

    def rows(self) -> Iterator[Row]:
        """Read every row.

        Raises:
            FileError: a row is damaged; names its line.
        """
        for line in self.lines():
            if isinstance(line, FileError):
                raise line
            yield line

    def reader(self, templates: Sequence[Template], text_column: str | None) -> Callable[[Row], Row]:
        """Make the function that turns a row into an example for one template or more.

        Raises:
            TemplateSyntaxError: a template reads no column, or leaves one as a placeholder.
            FileError: a column is missing.
            CommandError: `text_column` with templates of several fields.
        """
        fields = list(dict.fromkeys(name for template in templates for name in template.fields))
        for template in templates:
            template.validate_reads(self.columns)
            for name in template.fields if text_column is None else ():
                if name not in template.variables:  # those may be missing if the template tests for them
                    self.find_column(name, hint=" (--text-column names another)" if len(fields) == 1 else "")
        if text_column is None:
            return lambda row: row
        if len(fields) != 1:
            raise CommandError(
                f"--text-column is for templates with one field; this one reads the columns "
                f"{', '.join(map(repr, fields)) or '(none)'}"
            )
        column = self.find_column(text_column)
        (name,) = fields
        return lambda row: _renamed(row, column, name)

    def examples(self, templates: Sequence[Template], text_column: str | None) -> list[Row]:
        """All rows as examples for one template or more.

        Raises:
            FileError: as for `reader`, or a row is damaged or has a field of no use; names its line.
        """
        examples = [*map(self.reader(templates, text_column), self.rows())]
        for index, example in enumerate(examples):
            try:
                for template in templates:
                    template.read_fields(example)
            except FieldError as error:
                raise self.problem(index, error) from error
        return examples

    def labels(self, column: str, known: Sequence[str] | None = None, *, fewest: int = 1) -> list[str]:
        """The labels, as text.

        Args:
            column: the column with the labels.
            known: all labels that may occur; None for any.
            fewest: different labels that have to occur.

        Raises:
            FileError: the column is missing, a row is damaged or has no label or an unknown one, two labels differ by
                case, white space or Unicode form alone, or there are too few different labels; names the line.
        """
        column = self.find_column(column, hint=" (--label-column names another)")
        labels = []
        for index, row in enumerate(self.rows()):
            try:
                labels.append(as_label(row.get(column), "the row"))
            except DataError as error:
                raise self.problem(index, error) from error
        try:
            validate_one_kind(labels, repr(column))
        except DataError as error:
            raise FileError(f"{self.path}: {error}") from error
        texts = [str(label) for label in labels]
        if known is None:
            from softcloze.data.labels import check_spellings  # with numpy, which is slow to import

            problems = check_spellings(texts)
        else:
            choices = quoted_list(known)
            problems = (
                (index, f"label {label!r} is not one of {choices}{did_you_mean(label, known)}")
                for index, label in enumerate(texts)
                if label not in known
            )
        for index, problem in problems:
            raise self.problem(index, problem)
        for label in () if known is not None else sorted(_MISSING.intersection(texts)):
            place = self.place(texts.index(label))
            warn(f"{self.path}, {place}: the text {label!r} is taken for a label; remove its rows if it means a gap")
        if len(set(texts)) < fewest:
            raise FileError(
                f"{self.path} has only the label {texts[0]!r} in {column!r}; rows of at least {fewest} are needed"
            )
        return texts

    def weights(self, column: str) -> list[float]:
        """The weights of the rows.

        Raises:
            FileError: the column is missing, a row is damaged, or a weight is no number of at least 0; names the line.
        """
        column = self.find_column(column, hint=" (--weight-column names it)")
        weights = []
        for index, row in enumerate(self.rows()):
            value = row.get(column)
            try:
                weight = float(value) if isinstance(value, str) else value
            except ValueError:
                weight = None
            if not isinstance(weight, int | float) or not NOT_NEGATIVE.holds(weight):
                raise self.problem(index, f"weight {quoted(value)} in {column!r}; expected a number of at least 0")
            weights.append(float(weight))
        if not any(weights):
            raise FileError(f"{self.path} has the weight 0 in every row of {column!r}")
        return weights

    def find_column(self, column: str, hint: str = "") -> str:
        """The file's spelling of a column, which may have another Unicode form.

        Raises:
            FileError: the file has no column of this name; `hint` ends the message.
        """
        name = find_name(column, self.columns)
        if name is None:
            if self.header_is_data:
                hint += "; the first line looks like a row: put a line with the names of the columns above it"
            raise FileError(
                f"{self.path} has no column {column!r}; it has {quoted_list(self.columns)}"
                f"{did_you_mean(column, self.columns)}{hint}"
            )
        return name


def open_table(path: Path) -> Table:
    """Check a CSV, TSV, JSON lines or Parquet file, and find its columns.

    CSV values stay text: "007", "NA" and "null" are neither numbers nor missing values.

    Raises:
        FileError: the file does not exist, is of another kind, is empty, or is damaged beyond single rows; names it,
            the line, and the way to mend it.
    """
    path = expand_user(path)
    with explain_read_errors(path):
        if path.is_dir():
            raise FileError(f"{path} is a folder, expected a file")
        if not path.exists():
            if str(path) == "-":
                raise FileError("rows are read several times, so not from standard input: name a file")
            if path.is_symlink():
                raise FileError(f"{path} is a link to {path.readlink()}, which does not exist")
            others = (other.name for other in path.parent.glob("*"))
            raise FileError(f"there is no file {path}{did_you_mean(path.name, others)}")
        if not path.is_file():
            raise FileError(f"{path} is a pipe or device, and rows are read several times: save them in a file")
        kind = describe_kind(path)
        if kind is not None:
            raise FileError(f"{path} {kind}")
        validate_suffix(path)
    check = QuoteCheck(path) if path.suffix.lower() in DELIMITERS else None
    columns: dict[str, None] = {}
    count, damaged = 0, []
    for _, line in _read_lines(path, check):
        count += 1
        if isinstance(line, FileError):
            damaged.append(line)
        else:
            columns.update(dict.fromkeys(line))
    if check is not None:
        check.validate(no_rows=len(damaged) == count)
    if not count:
        header = f" after its header: {quoted_list(check.columns)}" if check is not None and check.columns else ""
        raise FileError(f"{path} is empty: it holds no rows{header}")
    if len(damaged) == count:
        raise damaged[0]
    return Table(path, tuple(columns), count, check is not None and check.header_is_data)


def validate_suffix(path: Path) -> None:
    """Raise FileError if the suffix of `path` is not one of `SUFFIXES`."""
    if path.suffix.lower() not in SUFFIXES:
        raise FileError(f"{path} has an unknown ending {path.suffix!r}; expected {', '.join(SUFFIXES)}")


def _read_lines(path: Path, check: QuoteCheck | None = None) -> Iterator[Line]:
    """Read every row, or the error of a damaged one, with the number of its line; in Parquet files of the row."""
    with explain_read_errors(path):
        match path.suffix.lower():
            case ".parquet":
                yield from _read_parquet(path)
            case ".jsonl":
                yield from _read_json_lines(path)
            case _:
                yield from read_delimited(path, check)


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading into a FileError about `path`."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise FileError(f"{path} {describe_encoding(path)}") from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def _read_json_lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8") as file:  # any line end: neither stands in the strings of JSON
        for number, line in enumerate(file, start=1):
            text = line.lstrip("\ufeff").strip()
            if not text:
                continue
            try:
                row = json.loads(text, object_pairs_hook=unique_keys, parse_constant=_constant)
                _validate_depth(row, text)
            except (ValueError, RecursionError) as error:
                reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
                yield number, FileError(f"{path}, line {number}: not JSON: {reason}")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                yield number, FileError(f"{path}, line {number}: expected a JSON object, found {quoted(text[:60], 60)}")


def _constant(name: str) -> float:
    """NaN, which Python writes for a missing number; raise ValueError for Infinity."""
    if name != "NaN":
        raise ValueError(f"{name} is not a number of JSON")
    return math.nan


def _validate_depth(value: object, text: str) -> None:
    """Raise ValueError for nesting that other code could not follow."""
    levels, inside = 0, [value]
    while inside and text.count("[") + text.count("{") > NESTING:
        levels += 1
        if levels > NESTING:
            raise ValueError(f"lists and objects are nested deeper than {NESTING} levels")
        items = (item.values() if isinstance(item, dict) else item for item in inside if isinstance(item, dict | list))
        inside = [*chain.from_iterable(items)]


def _read_parquet(path: Path) -> Iterator[Line]:
    parquet = import_parquet()
    from pyarrow import ArrowException

    try:
        # page by page: a row group may be as large as the file
        with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            validate_unique(file.schema_arrow.names, path)
            batches = (batch.to_pylist() for batch in file.iter_batches(CHUNK))
            yield from enumerate(chain.from_iterable(batches), start=1)
    except (ArrowException, UnicodeDecodeError) as error:
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
