"""Kinds of files of rows, the options of reading them, and the file that they are read from."""

import codecs
import gzip
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

from softcloze.errors import CommandError

Kind = Literal["csv", "tsv", "json", "jsonl", "txt", "parquet"]
Quoting = Literal["standard", "none"]
DELIMITERS: dict[str, str] = {"csv": ",", "tsv": "\t"}
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "txt",
    ".parquet": "parquet",
}
"""The kind of a file by its ending; .gz may follow."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """Format of the rows of a file, as far as options say it.

    Attributes:
        kind: kind of the file; None for that of its ending.
        delimiter: character between values; None for that of the kind.
        encoding: name of a text encoding, as Python has it.
        columns: names of the columns of a file without a header; None for numbers from 1.
        header: whether the first line names the columns.
        quoting: "standard" for quotes of RFC 4180, "none" for quotes that are plain characters.
        split: split of a data set; None for the only one.
    """

    kind: Kind | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    columns: tuple[str, ...] | None = None
    header: bool = True
    quoting: Quoting = "standard"
    split: str | None = None

    @property
    def is_utf8(self) -> bool:
        """True for UTF-8, with or without a byte order mark."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")


PLAIN = FileFormat()


@dataclass(frozen=True, slots=True)
class Source:
    """A file with the kind and format of its rows; `str` is its name in messages.

    Attributes:
        path: the file, which is a temporary one for standard input and data sets.
        name: the name for messages.
        kind: kind of its rows.
        format: options of reading it.
        is_compressed: whether gzip compressed it.
        is_temporary: whether the file is a copy, which the end of the process removes.
    """

    path: Path
    name: str
    kind: Kind
    format: FileFormat = PLAIN
    is_compressed: bool = False
    is_temporary: bool = False

    @property
    def delimiter(self) -> str:
        """The character between the values of CSV and TSV."""
        return self.format.delimiter or DELIMITERS[self.kind]

    @property
    def is_plain(self) -> bool:
        """True for a file of UTF-8 text that programs other than softcloze read as it is."""
        return not self.is_temporary and not self.is_compressed and self.format.is_utf8

    def open_bytes(self) -> BinaryIO:
        """Open the file for reading, without its compression."""
        return cast(BinaryIO, gzip.open(self.path)) if self.is_compressed else self.path.open("rb")

    def open_text(self, newline: str | None = None) -> IO[str]:
        """Open the file for reading text; `newline` is as for `open`."""
        return TextIOWrapper(self.open_bytes(), encoding=self.format.encoding, newline=newline)

    def __str__(self) -> str:
        return self.name


def kind_of(path: Path) -> Kind | None:
    """The kind of a file by its ending, before a .gz; None for another ending.

    >>> kind_of(Path("a.csv.gz")), kind_of(Path("a.NDJSON")), kind_of(Path("a.txt.zip"))
    ('csv', 'jsonl', None)
    """
    named = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return KINDS.get(named.suffix.lower())


def validate_options(format: FileFormat, kind: Kind, name: str, *, is_data_set: bool = False) -> None:
    """Raise CommandError if an option of reading does not fit the kind of a file."""
    given = {
        "--delimiter": (format.delimiter is not None, kind in DELIMITERS, "CSV and TSV"),
        "--no-header and --columns": (not format.header, kind in DELIMITERS, "CSV and TSV"),
        "--quoting": (format.quoting != "standard", kind in DELIMITERS, "CSV and TSV"),
        "--encoding": (not format.is_utf8, kind != "parquet", "text"),
        "--split": (format.split is not None, is_data_set, "data sets of Hugging Face"),
    }
    for option, (is_given, fits, fitting) in given.items():
        if is_given and not fits:
            raise CommandError(f"{option} is for {fitting}: leave it out for {name}")
