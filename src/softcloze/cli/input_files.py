"""Read rows of files lazily, and turn them into examples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from softcloze.cli.console import warn
from softcloze.cli.delimited import Line, QuoteCheck, Row, read_delimited
from softcloze.cli.file_format import DELIMITERS, PLAIN, FileFormat, Source
from softcloze.cli.json_rows import read_json_array, read_json_lines
from softcloze.cli.parquet_rows import read_parquet, read_shape
from softcloze.cli.sources import explain_read_errors, find_source
from softcloze.errors import CommandError, DataError, FieldError, FileError
from softcloze.formatting import did_you_mean, quoted, quoted_list
from softcloze.parameters import NOT_NEGATIVE
from softcloze.template import Template
from softcloze.template.fields import find_name
from softcloze.verbalizer.labels import as_label, validate_one_kind

_MISSING = frozenset(["NA", "#N/A", "nan", "NaN", "<NA>", "NULL", r"\N"])  # as R, Excel, pandas and MySQL write it
TEXT = "text"  # the column of a file of plain texts


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows, which are read when they are needed.

    Attributes:
        source: the file.
        columns: names of the columns; for JSON lines every name that occurs, in order of first appearance.
        count: number of rows, including damaged ones.
        header_is_data: whether the header looks like a row.
        first: index of the first row in the file, where the table is a part of it.
    """

    source: Source
    columns: tuple[str, ...]
    count: int
    header_is_data: bool = False
    first: int = 0

    def part(self, rows: range) -> "Table":
        """The table of some successive rows of this one, with the columns of all."""
        return replace(self, first=self.first + rows.start, count=len(rows))

    def lines(self) -> Iterator[Row | FileError]:
        """Read every row as a mapping from column to value, or as the error of a damaged row.

        A row of JSON lines may lack columns.
        """
        return (line for _, line in islice(_read_lines(self.source, first=self.first), self.count))

    def all_lines(self) -> Iterator[Row | FileError]:
        """Read the rows of the whole file, as `lines`."""
        return (line for _, line in _read_lines(self.source))

    def place(self, index: int) -> str:
        """The line of a row, for messages, counted from 1 as in editors; of Parquet and JSON arrays its number."""
        number, _ = next(_read_lines(self.source, first=self.first + index))
        return f"{'row' if self.source.kind in ('parquet', 'json') else 'line'} {number}"

    def problem(self, index: int, reason: object) -> FileError:
        """The error about a row, with its file and line."""
        return FileError(f"{self.source}, {self.place(index)}: {reason}")

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
            raise FileError(f"{self.source}: {error}") from error
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
            warn(f"{self.source}, {place}: the text {label!r} is taken for a label; remove its rows if it means a gap")
        if len(set(texts)) < fewest:
            raise FileError(
                f"{self.source} has only the label {texts[0]!r} in {column!r}; rows of at least {fewest} are needed"
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
            raise FileError(f"{self.source} has the weight 0 in every row of {column!r}")
        return weights

    def find_column(self, column: str, hint: str = "") -> str:
        """The file's spelling of a column, which may have another Unicode form.

        Raises:
            FileError: the file has no column of this name; `hint` ends the message.
        """
        name = find_name(column, self.columns)
        if name is None:
            if self.header_is_data:
                hint += "; the first line looks like a row: name the columns with --columns, as in --columns text,label"
            raise FileError(
                f"{self.source} has no column {column!r}; it has {quoted_list(self.columns)}"
                f"{did_you_mean(column, self.columns)}{hint}"
            )
        return name


def open_table(path: Path, format: FileFormat = PLAIN, *, reads_all: bool = True) -> Table:
    """Check a file of rows, standard input or a data set, and find its columns.

    CSV values stay text: "007", "NA" and "null" are neither numbers nor missing values.

    Args:
        path: as for `find_source`.
        format: options of reading it.
        reads_all: whether all rows of a Parquet file are read now, which finds damage before any work.

    Raises:
        FileError: the file does not exist, is of another kind, is empty, or is damaged beyond single rows; names it,
            the line, and the way to mend it.
        CommandError: an option does not fit the kind of the file.
    """
    source = find_source(path, format)
    if source.kind == "parquet" and not reads_all:
        with explain_read_errors(source):
            names, rows = read_shape(source.path, source)
        if not rows:
            raise FileError(f"{source} is empty: it holds no rows")
        return Table(source, names, rows)
    check = QuoteCheck(source) if source.kind in DELIMITERS else None
    columns: dict[str, None] = {}
    count, damaged = 0, []
    for _, line in _read_lines(source, check):
        count += 1
        if isinstance(line, FileError):
            damaged.append(line)
        else:
            columns.update(dict.fromkeys(line))
    if check is not None:
        check.validate(no_rows=len(damaged) == count)
    if not count:
        header = f" after its header: {quoted_list(check.columns)}" if check is not None and check.columns else ""
        raise FileError(f"{source} is empty: it holds no rows{header}")
    if len(damaged) == count:
        raise damaged[0]
    return Table(source, tuple(columns), count, check is not None and check.header_is_data)


def _read_lines(source: Source, check: QuoteCheck | None = None, first: int = 0) -> Iterator[Line]:
    """Read every row from an index on, or the error of a damaged one, with the number of its line.

    In Parquet files and arrays it is the number of the row.
    """
    with explain_read_errors(source):
        match source.kind:
            case "parquet":
                yield from read_parquet(source.path, source, first)
                return
            case "json":
                lines = read_json_array(source)
            case "jsonl":
                lines = read_json_lines(source)
            case "txt":
                lines = _read_texts(source)
            case _:
                lines = read_delimited(source, check)
        yield from islice(lines, first, None)


def _read_texts(source: Source) -> Iterator[Line]:
    """Read a text from each line that is not blank."""
    with source.open_text() as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix("\ufeff") if number == 1 else line
            if "\0" in text:
                yield number, FileError(f"{source}, line {number}: holds a NUL character; the file is damaged")
            elif text.strip():
                yield number, {TEXT: text.removesuffix("\n")}


def _renamed(row: Row, column: str, name: str) -> Row:
    """The row with `column` under `name` as well; without either where it lacks the column."""
    others = {key: value for key, value in row.items() if key != name}
    return others | {name: row[column]} if column in row else others
