"""A long run that may be interrupted: what it has done is kept beside its output until all is done."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from softcloze.cli.input_files import Row
from softcloze.cli.output_files import Format, writing
from softcloze.errors import FileError
from softcloze.files import remove_folder, replacing_file, replacing_folder

CARD = "run.json"
PART_ROWS, PART_SECONDS = 4096, 10.0  # a part is written when so many rows wait, or the last one is so old


class Run:
    """The output of a run, which comes in parts and is put together at the end.

    The parts are in the folder `OUT.part`, with a card that says how many count. Each takes its place at once, and so
    do the card and the output: a process that is killed leaves what was done before, and no half of anything.

    Attributes:
        out: the file that is there in the end.
        folder: where the parts are until then.
        counts: what became of the rows in the parts.
    """

    def __init__(self, out: Path, form: Format, purpose: Mapping[str, str | None], *, restart: bool) -> None:
        """Begin, or go on where the same run was interrupted.

        Args:
            out: the file to write.
            form: how rows become a file.
            purpose: what makes two runs the same: its name, and a value that tells it from another.
            restart: whether to forget what an interrupted run did.

        Raises:
            FileError: a run with another purpose was interrupted, or the folder is something else or cannot be made.
        """
        self.out = out.expanduser()
        self.folder = self.out.with_name(self.out.name + ".part")
        self.counts = RowCounts()
        self._form = form
        self._purpose = dict(purpose)
        self._parts = 0
        self._waiting: list[Row] = []
        self._written = monotonic()
        if self.out.is_dir():
            raise FileError(f"{self.out} is a folder; name a file to write")
        if self.folder.exists() and not (self.folder / CARD).is_file():
            raise FileError(f"{self.folder} is there already and holds no interrupted run; name another --out")
        if self.folder.exists() and not restart:
            self._read_card()
            return
        with writing(self.folder), replacing_folder(self.folder) as draft:
            self._write_card(draft)

    def write(self, rows: Sequence[Row]) -> None:
        """Take labelled rows; they are safe a few seconds later.

        Raises:
            FileError: a part cannot be written.
        """
        self._waiting += rows
        if len(self._waiting) >= PART_ROWS or monotonic() - self._written >= PART_SECONDS:
            self._write_part()

    def finish(self) -> None:
        """Put all parts together, and remove them.

        Raises:
            FileError: the output cannot be written, or no row has a label.
        """
        self._write_part()
        with writing(self.out):
            if self.counts.labels:
                whole = self.folder / "whole"
                with replacing_file(whole) as draft:
                    self._form.join(map(self._part, range(self._parts)), draft)
                whole.replace(self.out)
            remove_folder(self.folder)
        self.counts.validate()

    def _write_part(self) -> None:
        with writing(self.folder):
            if self._waiting:
                with replacing_file(self._part(self._parts)) as draft:
                    self._form.write(draft, self._waiting)
                self._parts += 1
            for row in self._waiting:
                self.counts.add(row["predicted"], row["error"])
            self._write_card(self.folder)
        self._waiting = []
        self._written = monotonic()

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06}"

    def _write_card(self, folder: Path) -> None:
        counts = {"labels": self.counts.labels, "problems": self.counts.problems, "reasons": self.counts.reasons}
        card = {"purpose": self._purpose, "parts": self._parts, **counts}
        with replacing_file(folder / CARD) as draft:
            draft.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    def _read_card(self) -> None:
        try:
            card = json.loads((self.folder / CARD).read_bytes())
            reasons = {int(row): reason for row, reason in card["reasons"].items()}
            self.counts = RowCounts(Counter(card["labels"]), card["problems"], reasons)
            self._parts = card["parts"]
            others = [name for name, value in self._purpose.items() if card["purpose"].get(name) != value]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileError(f"{self.folder / CARD} is damaged: {error!r}; --restart begins anew") from error
        if others:
            raise FileError(
                f"{self.folder} holds what an interrupted run did with another {' and another '.join(others)}; "
                "--restart forgets that and begins anew, another --out keeps it"
            )


NAMED = 5  # bad rows whose reasons are kept


@dataclass(slots=True)
class RowCounts:
    """Rows by label, and the rows that could not be encoded.

    Attributes:
        labels: label to rows.
        problems: rows that could not be encoded.
        reasons: row to the reason, for the first of those.

    >>> counts = RowCounts()
    >>> counts.add("很好", None)
    >>> counts.add(None, "field 'text' is None")
    >>> counts
    RowCounts(labels=Counter({'很好': 1}), problems=1, reasons={1: "field 'text' is None"})
    """

    labels: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows that were counted."""
        return self.labels.total() + self.problems

    def add(self, label: str | None, error: str | None) -> None:
        """Count the next row, which has a label or the reason why it has none."""
        if label is not None:
            self.labels[label] += 1
            return
        if len(self.reasons) < NAMED:
            self.reasons[self.rows] = str(error)
        self.problems += 1

    def validate(self) -> None:
        """Make sure that some row has a label.

        Raises:
            FileError: none has; gives the first one's reason.
        """
        if self.problems and not self.labels:
            raise FileError(f"none of the {self.problems:,} rows can be encoded; row 0: {self.reasons[0]}")
