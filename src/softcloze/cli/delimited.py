"""Read CSV and TSV files by RFC 4180, and recognise other delimiters and other uses of quotes.

Quotes that do not follow RFC 4180 can join rows without a syntax error. `QuoteCheck` looks for such rows, since a
wrong reading would go unnoticed.
"""

import csv
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from softcloze.cli.file_format import DELIMITERS, FileFormat, Source
from softcloze.cli.file_kinds import choose
from softcloze.cli.parquet_rows import validate_unique
from softcloze.errors import FileError
from softcloze.formatting import counted

Row = dict[str, Any]
Line = tuple[int, Row | FileError]
NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
CHUNK = 2**16  # characters in which the first line ends
SAMPLE = 50  # lines that are tried with other delimiters
PLAIN_QUOTES = "or, if quotes are plain characters here, add --quoting none"
ESCAPED = 'escapechar="\\\\", doublequote=False'
VALUES = 1000  # distinct values of a column of categories, at most
_SEP = re.compile(r'"?sep=(.)"?\r?\n?')  # the first line of Excel's own CSV files


class QuoteCheck:
    """Evidence about delimiter, header and quotes, gathered while the rows are read for the first time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.delimiter = source.delimiter
        self.columns: tuple[str, ...] = ()
        self.lines: list[str] = []  # the first lines, header included
        self._values: list[set[str]] = []  # of each column, in rows of a single line
        self._suspects: list[tuple[int, list[str], list[list[str]]]] = []
        self._spaced: int | None = None  # line of the first quote after white space
        self._longer = 0  # rows with a value more than the header

    def add_header(self, lines: Sequence[str], columns: Sequence[str], delimiter: str) -> None:
        """Take the lines of the header, none in a file without one, the columns, and the delimiter of the file."""
        self.columns, self.lines, self.delimiter = tuple(columns), [*lines], delimiter
        self._values = [set() for _ in columns]

    def add(self, start: int, lines: Sequence[str], values: list[str]) -> None:
        """Take a row: the number of its first line, its lines and its values."""
        if len(self.lines) < SAMPLE:
            self.lines += lines
        self._longer += len(values) == len(self.columns) + 1
        if len(values) != len(self.columns):
            return
        if self._spaced is None and self._has_quotes and self.delimiter != "\t" and f'{self.delimiter} "' in lines[0]:
            spaced = (value for value in values if value.startswith(' "') and value.endswith('"'))
            if any(self.delimiter + value in lines[0] for value in spaced):
                self._spaced = start
        if len(lines) == 1:
            for seen, value in zip(self._values, values, strict=True):
                if len(seen) < VALUES:
                    seen.add(value)
        elif len(values) > 1 and len(self._suspects) < VALUES and _line_end(lines[0]) == _line_end(lines[-1]):
            split = [line.rstrip("\r\n").split(self.delimiter) for line in lines[:SAMPLE]]
            whole = [parts for parts in split if len(parts) == len(values) and _has_text(parts)]
            if split[0] in whole and len(whole) >= 0.8 * len(split):
                self._suspects.append((start, values, whole))

    @property
    def _has_quotes(self) -> bool:
        return self.source.format.quoting == "standard"

    def validate(self, *, no_rows: bool) -> None:
        """Raise if the file has another delimiter, row names, or quotes that join rows or follow white space.

        A quoted text may span lines. It is taken for joined rows if each of its lines has the values of a row and the
        line end of one, and, where commas delimit them, if values of one column occur in other rows too.

        Args:
            no_rows: whether no row has as many values as the header names.

        Raises:
            FileError: describes the file.
        """
        self.validate_delimiter()
        if no_rows and self._longer > 1 and len(self.columns) > 1 and self.source.format.header:
            raise FileError(
                f"{self.source}: rows have one value more than the {counted(len(self.columns), 'column')} of the header"
                ": name the missing column there, first for row names (in R, write with col.names=NA)"
            )
        if self._spaced is not None:
            raise FileError(
                f"{self.source}, line {self._spaced}: white space before a quote makes the quote a part of the text; "
                f"remove it: {rewrite(self.source, self.delimiter, 'skipinitialspace=True')}"
            )
        for start, values, split in self._suspects:
            if self.delimiter == "\t" or any(self._is_category(i, values, split) for i in range(len(values))):
                raise FileError(
                    f"{self.source}, line {start}: a quote opens here and joins lines of which each looks like a row; "
                    f"close or double it, {PLAIN_QUOTES}"
                )

    def validate_delimiter(self) -> None:
        """Raise FileError if another delimiter than the suffix's splits header and rows alike."""
        if len(self.columns) > 1:
            return
        for other, name in NAMES.items():
            counts = [
                len(next(csv.reader([line.replace("\r", "")], delimiter=other), ()))
                for line in self.lines
                if line.strip()
            ]
            rows = counts[1:]
            if other != self.delimiter and rows and counts[0] > 1 and rows.count(counts[0]) * 2 >= len(rows):
                right = next((kind for kind, char in DELIMITERS.items() if char == other), None)
                given = right is None or self.source.format.delimiter is not None
                mend = f"add --delimiter {shlex.quote(other)}" if given else choose(str(right))
                usual = NAMES.get(self.delimiter, repr(self.delimiter))
                raise FileError(f"{self.source} has {name} between its values, not {usual}: {mend}")

    @property
    def header_is_data(self) -> bool:
        """True if the header looks like a row: a number, a long text, or a value that other rows have too."""
        return self.source.format.header and any(
            _is_number(name) or len(name) > 60 or (name and name in seen)
            for name, seen in zip(self.columns, self._values, strict=True)
        )

    def _is_category(self, column: int, values: Sequence[str], split: Sequence[Sequence[str]]) -> bool:
        known = self._values[column]
        inside = [parts[column] for parts in split]
        if all(value in known or value == values[column] for value in inside):
            return any(value in known for value in inside)
        return bool(known) and all(map(str.isdecimal, chain(known, inside)))


def read_delimited(source: Source, check: QuoteCheck | None = None) -> Iterator[Line]:
    """Read the rows of a CSV or TSV file, each with the number of its first line, by RFC 4180 and the format.

    Args:
        source: the file.
        check: takes every row as well, to judge the file at the end.

    Raises:
        FileError: the header lacks or repeats names, or quotes do not pair up; after such a row the ends of rows are
            unknown.
    """
    csv.field_size_limit(sys.maxsize)  # a text may be long; the limit is this process's own
    format, delimiter = source.format, source.delimiter
    quoting: Any = csv.QUOTE_MINIMAL if format.quoting == "standard" else csv.QUOTE_NONE
    with source.open_text(_newline(source)) as file:
        first, number = file.readline().lstrip("\ufeff"), 1
        if declared := _SEP.fullmatch(first):
            delimiter, first, number = format.delimiter or declared[1], file.readline(), 2
        while first and not first.strip():
            first, number = file.readline(), number + 1
        row = _Row(chain([first], file), number)
        reader = csv.reader(row, delimiter=delimiter, strict=True, quoting=quoting)
        try:
            head = next(reader, [])
            if format.header:
                columns = tuple(map(row.restored, head))
                _validate_header(columns, source)
            else:
                columns = format.columns or tuple(map(str, range(1, len(head) + 1)))
            if check is not None:
                check.add_header([first] if format.header else [], columns, delimiter)
            if format.header:
                row.end()
            for values in reader if format.header else chain([head], reader):
                if row.is_odd:
                    values = [*map(row.restored, values)]
                if check is not None:
                    check.add(row.start, row.lines, values)
                problem = _problem(values, columns, row, format)
                if problem is not None:
                    yield row.start, FileError(f"{source}, line {row.start}: {problem}")
                elif values:
                    yield row.start, dict(zip(columns, values, strict=True))
                row.end()
        except csv.Error as error:
            if check is not None:
                check.lines += [*row.lines, *islice(file, SAMPLE)]
                check.validate_delimiter()
            problem = _quote_problem(source, row.lines, delimiter, error)
            raise FileError(f"{source}, line {row.start}: {problem}") from error


def _line_end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _has_text(values: Sequence[str]) -> bool:
    return any(len(value.strip(' "')) > 2 for value in values)


def rewrite(source: Source, delimiter: str, *settings: str) -> str:
    """The advice to read a file with settings of the csv module, and write it by RFC 4180: a command if it does."""
    reader = ", ".join(["sys.stdin", f"delimiter={json.dumps(delimiter)}", *settings])
    if not source.is_plain:
        return f"write it anew with Python's csv.writer, from csv.reader({reader})"
    code = f"import csv, sys; csv.writer(sys.stdout).writerows(csv.reader({reader}))"
    target = source.path.with_name(f"{source.path.stem}-new.csv")
    return f"python -c {shlex.quote(code)} < {shlex.quote(str(source.path))} > {shlex.quote(str(target))}"


def _newline(source: Source) -> str:
    """The argument for `open`: lines end in a line feed, or, as on old Macs, in a carriage return."""
    with source.open_text(newline="") as file:
        end = re.search(r"\r\n|\n|\r", file.read(CHUNK))
    return "" if end is not None and end[0] == "\r" else "\n"


class _Row:
    r"""The lines of a file for the reader of the csv module, and which of them belong to the current row.

    A lone \r inside a line is part of a text: Python's csv module and pandas write it without quotes, but the reader
    takes it for a line end. It stands as \0 until `restored`.

    Attributes:
        start: number of the first line of the row.
        lines: its lines.
        is_odd: whether they hold a \0, or a \r inside a line.
    """

    def __init__(self, lines: Iterator[str], start: int) -> None:
        self._file, self.start, self.lines, self.is_odd = lines, start, list[str](), False

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.lines.append(line)
            if "\0" in line or "\r" in line:
                body = line.rstrip("\r\n")
                self.is_odd |= "\0" in body or "\r" in body
                line = body.replace("\r", "\0") + line[len(body) :]
            yield line

    def restored(self, value: str) -> str:
        """A value as it is in the file."""
        return value.replace("\0", "\r")

    def end(self) -> None:
        """Begin the next row."""
        self.start += len(self.lines)
        self.lines.clear()
        self.is_odd = False


def _problem(values: Sequence[str], columns: Sequence[str], row: _Row, format: FileFormat) -> str | None:
    """The reason why a row is damaged, if it is."""
    if row.is_odd and any("\0" in line for line in row.lines):
        return "holds a NUL character; the file is damaged"
    if values and len(values) != len(columns):
        named = "the header names" if format.header else "--columns names" if format.columns else "the first line has"
        mend = "put quotes around texts that hold a delimiter"
        return f"{counted(len(values), 'value')} where {named} {counted(len(columns), 'column')}; {mend}"
    if format.header and values and values[-1].lstrip("\ufeff") == columns[-1]:
        first = values[0].lstrip("\ufeff")
        if (first, *values[1:]) == columns and (len(columns) > 1 or first != values[0]):
            return "the header again; the file seems to be joined from several: remove this line"
    return None


def _quote_problem(source: Source, lines: Sequence[str], delimiter: str, error: csv.Error) -> str:
    """Describe quotes that do not pair up."""
    if any('\\"' in line for line in lines):
        return f'a quote is written as \\", as by MySQL; double it instead: {rewrite(source, delimiter, ESCAPED)}'
    fault = "a quote opens here and is never closed" if "end of data" in str(error) else "text follows a closing quote"
    return f'{fault}; inside quotes a quote has to be doubled (""), {PLAIN_QUOTES}'


def _validate_header(columns: Sequence[str], source: Source) -> None:
    unnamed = [f"{i}" for i, name in enumerate(columns, start=1) if not name.strip()]
    if columns and (len(unnamed) == len(columns) or len(unnamed) > 1):
        raise FileError(f"{source}: the columns {', '.join(unnamed)} have no name in the header; name or remove them")
    validate_unique(columns, source)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return name.strip().lower() not in ("nan", "inf", "infinity")
