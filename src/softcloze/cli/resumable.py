"""Resumable output: a journal of finished rows beside the output, until all rows have a result."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from softcloze.cli.delimited import Row
from softcloze.cli.input_files import Table
from softcloze.cli.output_files import writer_for
from softcloze.cli.shard import SUFFIX, Shard
from softcloze.errors import FileError
from softcloze.files import expand_user, explain_write_errors, replacing_file, resolve, validate_writable, write_text
from softcloze.formatting import counted

HEADER = "softcloze rows"
SECONDS = 10  # between saves of texts of a window that is not finished
NAMED = 5  # bad rows whose reasons are kept


class Result(NamedTuple):
    """The result of one row.

    Attributes:
        answer: the label or the text; None for a bad row.
        probabilities: of the labels; None for a bad row, and empty for a text.
        error: the reason why a bad row has no answer.
    """

    answer: str | None
    probabilities: Sequence[float] | None
    error: str | None


@dataclass(slots=True)
class RowCounts:
    """Rows with an answer, and the rows that could not be answered.

    Attributes:
        labels: label to rows, of the labels that are counted one by one; others have no entry.
        answered: rows with an answer.
        problems: rows without.
        reasons: row to the reason, for the first of those.
        verb: what could not be done with them, for messages.

    >>> counts = RowCounts.of(["很好", "差"])
    >>> counts.add("很好", None)
    >>> counts.add(None, "field 'text' is None")
    >>> counts.labels["很好"], counts.answered, counts.problems, counts.reasons
    (1, 1, 1, {1: "field 'text' is None"})
    """

    labels: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    problems: int = 0
    reasons: dict[int, str] = field(default_factory=dict)
    verb: str = "scored"

    @classmethod
    def of(cls, labels: Iterable[str]) -> Self:
        """Counts of rows by these labels."""
        return cls(Counter(dict.fromkeys(labels, 0)))

    @property
    def rows(self) -> int:
        """All rows that were counted."""
        return self.answered + self.problems

    def add(self, answer: str | None, error: str | None) -> None:
        """Count the next row, which has an answer or the reason why it has none."""
        if answer is not None:
            self.answered += 1
            if answer in self.labels:  # a key for each text of a long file would fill the memory
                self.labels[answer] += 1
            return
        if len(self.reasons) < NAMED:
            self.reasons[self.rows] = str(error)
        self.problems += 1

    def reason(self, table: Table, row: int) -> str:
        """The line of a bad row and the reason."""
        reason = self.reasons[row].removeprefix(f"{table.source}, ")
        return reason if reason != self.reasons[row] else f"{table.place(row)}: {reason}"

    def validate(self, table: Table) -> None:
        """Raise FileError with the reason of the first row if no row of the table has an answer."""
        if self.problems and not self.answered:
            raise FileError(f"none of {counted(self.problems, 'row')} can be {self.verb}; {self.reason(table, 0)}")


class ResumableOutput:
    """An output file that is written when all rows have a result; until then a journal keeps the results.

    The journal is `OUT.part`, a file to which only whole lines are appended: first the purpose of the run, then one
    line for each window of rows. A window that takes long has lines before, with the texts of its first batches by row.
    A killed process leaves at most a last line that is cut off, and that line is dropped.
    Rows are not in the journal: they are read from the input again when the output is written.

    A shard of a table has a journal of its own, `OUT.3-of-16.part`, which stays when it is finished: `softcloze join`
    writes the output from those of all shards.

    Attributes:
        out: path of the output.
        journal: path of the journal.
        counts: counts of the rows in the journal.
        kept: texts of rows of the next window, by row.
    """

    def __init__(
        self,
        out: Path,
        table: Table,
        names: Sequence[str],
        purpose: Mapping[str, str | None],
        counts: RowCounts,
        *,
        restart: bool,
        shard: Shard | None = None,
    ) -> None:
        """Start a run, or resume the same run where it was interrupted.

        Args:
            out: the file to write.
            table: the input.
            names: names of the new columns: answer, one probability for each label, error.
            purpose: facts that identify the run, by name.
            counts: counts, to which the rows in the journal are added.
            restart: whether to discard the results of an interrupted run.
            shard: the part of the rows that the table has; None for all.

        Raises:
            FileError: an interrupted run had another purpose, `OUT.part` is something else or cannot be written, or
                the columns of the input do not fit the output format.
            CommandError: Parquet files need pyarrow, which is not installed.
        """
        self.out = resolve(out) if ".." in out.parts else expand_user(out)  # a folder before .. may not exist
        self.journal = self.out.with_name(f"{self.out.name}{shard.suffix if shard is not None else ''}{SUFFIX}")
        self.counts = counts
        self.kept: dict[int, str] = {}
        self._unsaved: dict[int, str] = {}
        self._saved = time.monotonic()
        self._table, self._names, self._shard = table, names, shard
        self._state = _state(table.source.path)
        validate_writable(self.out)
        with explain_write_errors(self.journal):  # its name may be too long
            is_new = not self.journal.exists()
        self._write = writer_for(self.out, table, names)
        if not is_new:
            self._read_journal(dict(purpose), restart=restart)
        if is_new or restart:
            write_text(self.journal, json.dumps([HEADER, dict(purpose), [*names]]) + "\n")
        self._size = self.journal.stat().st_size

    def append(self, window: Sequence[Result]) -> None:
        """Save the results of the next rows.

        Raises:
            FileError: the journal cannot be written, or another process writes to it.
        """
        self._append_line(window)
        self.kept, self._unsaved = {}, {}
        for result in window:
            self.counts.add(result.answer, result.error)

    def keep(self, texts: Mapping[int, str]) -> None:
        """Take texts of rows of the next window, and save them if the last ones were saved some time ago.

        Raises:
            FileError: as `append`.
        """
        self.kept |= texts
        self._unsaved |= texts
        if time.monotonic() - self._saved >= SECONDS:
            self.save_kept()

    def save_kept(self) -> None:
        """Save all texts that were taken; raises as `append`."""
        if self._unsaved:
            self._append_line(self._unsaved)
            self._unsaved = {}

    def _append_line(self, line: Sequence[Result] | Mapping[int, str]) -> None:
        with explain_write_errors(self.journal), self.journal.open("ab") as file:
            if file.tell() != self._size:
                raise FileError(f"{self.journal} is written by another process too: let that one finish")
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._size = file.tell()
        self._saved = time.monotonic()

    def finish(self) -> None:
        """Write the output and remove the journal; of a shard, the journal is the result.

        Raises:
            FileError: the output cannot be written, no row has an answer, or the input changed since the run started.
        """
        if _state(self._table.source.path) != self._state:
            raise FileError(f"{self._table.source} changed during the run; --restart begins anew")
        if self._shard is not None:
            return
        with explain_write_errors(self.out):
            if self.counts.answered:
                with replacing_file(self.out) as draft:
                    self._write(draft, labelled_rows(self._table, self._names, read_results(self.journal)))
            self.journal.unlink()
        self.counts.validate(self._table)

    def _read_journal(self, purpose: Mapping[str, str | None], *, restart: bool) -> None:
        header = read_header(self.journal)
        if header is None:
            raise FileError(f"{self.journal} already exists and is not an interrupted run; choose another --out")
        if restart:
            return
        if others := [name for name, value in purpose.items() if header.purpose.get(name) != value]:
            raise FileError(
                f"{self.journal} keeps the rows of a run with another {' and another '.join(others)}; "
                "--restart discards them, another --out keeps them"
            )
        with explain_write_errors(self.journal):
            self._drop_cut_line()
        try:
            for line in _lines(self.journal):
                if isinstance(line, dict):
                    self.kept |= {int(row): f"{text}" for row, text in line.items()}
                    continue
                self.kept = {}
                for values in line:
                    result = Result(*values)
                    self.counts.add(result.answer, result.error)
            if self.counts.rows > self._table.count:
                raise ValueError(f"it holds {self.counts.rows:,} rows, the input {self._table.count:,}")
        except (ValueError, TypeError) as error:
            raise FileError(f"{self.journal} is damaged: {error}; --restart begins anew") from error

    def _drop_cut_line(self) -> None:
        """Truncate the journal after its last whole line."""
        with self.journal.open("rb+") as file:
            end = 0
            for line in file:
                if line.endswith(b"\n"):
                    end += len(line)
            file.truncate(end)


class Header(NamedTuple):
    """The first line of a journal.

    Attributes:
        purpose: facts that identify the run, by name.
        names: names of the new columns.
    """

    purpose: Mapping[str, str | None]
    names: Sequence[str]


def read_header(journal: Path) -> Header | None:
    """Read the first line of a journal; None for another file."""
    try:
        with journal.open(encoding="utf-8") as file:
            mark, purpose, names = json.loads(next(file))
        return Header({**purpose}, [*names]) if mark == HEADER else None
    except (OSError, StopIteration, ValueError, TypeError):
        return None


def read_results(journal: Path) -> Iterator[Result]:
    """Read the results in a journal, but for a last line that is cut off.

    Raises:
        ValueError: it is damaged; or a TypeError.
    """
    for line in _lines(journal):
        if not isinstance(line, dict):
            yield from (Result(*values) for values in line)


def _lines(journal: Path) -> Iterator[Any]:
    """The whole lines after the header: a list of the results of a window, or texts of the next one by row."""
    with journal.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def labelled_rows(table: Table, names: Sequence[str], results: Iterable[Result]) -> Iterator[Row]:
    """Rows of the input with the new columns; a damaged row has the new ones only."""
    missing = [None] * (len(names) - 2)
    for line, result in zip(table.lines(), results, strict=True):
        row = {} if isinstance(line, FileError) else line
        values = (result.answer, *(result.probabilities or missing), result.error)
        yield {**row, **dict(zip(names, values, strict=True))}


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change of a file."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
