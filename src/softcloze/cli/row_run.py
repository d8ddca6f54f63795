"""A saved prompt run over the rows of a file, with an output that an interrupted run resumes.

The input may be larger than memory, so it is read several times: once to check every row and to find the columns,
once to identify it by a checksum, once to run the prompt on it, and once more to write its rows with their results. A
shard reads what contains its own rows, where the kind of the file allows it.
"""

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from softcloze.cli.console import errors, plain, say
from softcloze.cli.delimited import Row
from softcloze.cli.file_format import FileFormat
from softcloze.cli.input_files import Table, open_table
from softcloze.cli.input_identity import InputIdentity
from softcloze.cli.output_files import is_same, print_row, validate_ending
from softcloze.cli.progress import AnyRow, take_rows
from softcloze.cli.resumable import Result, ResumableOutput, RowCounts, labelled_rows
from softcloze.cli.shard import Shard
from softcloze.cli.sources import STANDARD
from softcloze.errors import CommandError, FileError, ServiceError


def open_rows(file: Path, out: Path | None, format: FileFormat, *, restart: bool, in_parts: bool = False) -> Table:
    """Open the rows of a file, after a check of the path of the output.

    Args:
        file: as for `open_table`, like `format`.
        out: the output; None for none, "-" for standard output.
        format: options of reading the file.
        restart: whether the results of an interrupted run are to be discarded.
        in_parts: whether others read the other rows, or have read all; rows of a Parquet file are then not read here.

    Raises:
        FileError: the file cannot be read, or the output has an unknown ending.
        CommandError: the output is the file itself, or standard output, which cannot be resumed, with `restart`.
    """
    target = out if out != STANDARD else None
    if target is not None:
        validate_ending(target)
    elif restart:
        raise CommandError("--restart is for an output in a file, whose interrupted run would be resumed; leave it out")
    with errors().status("reading the rows"):
        table = open_table(file, format, reads_all=not in_parts)
    if target is not None and is_same(target, table.source.path):
        raise CommandError(f"--out {out} is the input file; name another")
    return table


def validate_new_columns(table: Table, names: Sequence[str]) -> None:
    """Raise FileError if the input has one of the new columns."""
    for name in names:
        if name in table.columns:
            raise FileError(f"{table.source} has a column {name!r} already, which would be overwritten; rename it")


def resume_output(
    out: Path,
    table: Table,
    names: Sequence[str],
    purpose: Mapping[str, str | None],
    counts: RowCounts,
    *,
    restart: bool,
    shard: Shard | None = None,
) -> ResumableOutput:
    """Start an output, or resume that of an interrupted run; arguments and errors as of `ResumableOutput`.

    The input, the shard and the version of softcloze belong to every purpose.
    """
    with errors().status("reading the rows"):
        rows = range(table.first, table.first + table.count) if shard is not None else None
        part = {"--shard": str(shard)} if shard is not None else {}
        known = InputIdentity(table.source).facts(rows)
        facts = {**known, **purpose, **part, "version of softcloze": version("softcloze")}
        output = ResumableOutput(out, table, names, facts, counts, restart=restart, shard=shard)
    if done := counts.rows + len(output.kept):
        progress = f"resuming: {done:,} of {table.count:,} rows are done already, in "
        say(errors(), progress, plain(output.journal))
    return output


def run_rows(
    process: Callable[[Iterator[Any]], Iterator[AnyRow]],
    table: Table,
    as_example: Callable[[Row], Row],
    as_result: Callable[[AnyRow], Result],
    *,
    done: int,
    work: str,
    window: int,
) -> Generator[list[Result]]:
    """Process the rows after the first `done` ones, one window at a time.

    Args:
        process: gives a result for each example, or for the error of a damaged line.
        table: the rows.
        as_example: makes a row an example.
        as_result: makes what `process` gives a result.
        done: number of rows that are finished already.
        work: description of the work, for the bar.
        window: rows of a window.
    """
    lines = table.part(range(done, table.count)).lines()
    examples = (line if isinstance(line, FileError) else as_example(line) for line in lines)
    with closing(take_rows(process(examples), table.count, done, work=work, window=window)) as windows:
        for rows in windows:
            # of a damaged line, its own error is the more precise one
            yield [
                Result(None, None, str(row.example)) if isinstance(row.example, FileError) else as_result(row)
                for row in rows
            ]


def write_results(output: ResumableOutput, windows: Generator[list[Result]]) -> None:
    """Save the results window by window, then write the output."""
    try:
        with closing(windows):
            for window in windows:
                output.append(window)
        output.finish()
    except (KeyboardInterrupt, ServiceError):
        output.save_kept()
        done = output.counts.rows + len(output.kept)
        say(errors(), f"interrupted: {done:,} rows are saved; run the same command again to resume")
        raise


def print_results(table: Table, windows: Generator[list[Result]], names: Sequence[str], counts: RowCounts) -> None:
    """Write every row with its results to standard output, as lines of JSON, one window at a time.

    Raises:
        FileError: no row has an answer.
    """

    def results() -> Iterator[Result]:
        for window in windows:
            for result in window:
                counts.add(result.answer, result.error)
                yield result
            sys.stdout.flush()

    with closing(windows):
        for row in labelled_rows(table, names, results()):
            print_row(row)
    sys.stdout.flush()
    counts.validate(table)
