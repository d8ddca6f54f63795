"""Rows into a file, which is there as a whole or not at all."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from softcloze.atomic import replacing_file
from softcloze.cli.errors import FileError
from softcloze.cli.rows import Row, import_datasets


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write rows in the format that the ending of `path` names.

    Raises:
        FileError: the file cannot be written, or the values of a column are of several kinds and it is Parquet.
    """
    path = path.expanduser()
    try:
        with replacing_file(path) as draft:
            match path.suffix.lower():
                case ".parquet":
                    _write_parquet(draft, columns, rows, path)
                case ".jsonl":
                    _write_json_lines(draft, rows)
                case suffix:
                    _write_csv(draft, columns, rows, "\t" if suffix == ".tsv" else ",")
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Row], delimiter: str) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def _write_json_lines(path: Path, rows: Sequence[Row]) -> None:
    # a lone surrogate, which UTF-8 cannot hold, comes out as the \ud83d that JSON writes for it
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Row], target: Path) -> None:
    datasets = import_datasets()
    from pyarrow import ArrowException

    table = {column: [row.get(column) for row in rows] for column in columns}
    try:
        datasets.Dataset.from_dict(table).to_parquet(str(path))
    except (ArrowException, UnicodeEncodeError) as error:
        raise FileError(f"cannot write {target}: {error}; .jsonl takes every kind of row") from error
