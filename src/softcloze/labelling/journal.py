"""The journal of a labelling: events as JSON lines, each on disk before the next text is shown."""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softcloze.errors import ArtifactError
from softcloze.files import explain_write_errors, resolve, unique_keys

JOURNAL, LOCK = "journal.jsonl", "journal.lock"
Event = dict[str, Any]


class Journal:
    """Events of one labelling in a file to which several processes append.

    Each process reads what others have written by `read`, and writes within `locked`. A line is whole or it is not
    there: a process that was killed while it wrote leaves a last line without its end, which readers ignore and the
    next writer removes.
    """

    def __init__(self, folder: str | Path | None):
        """Use this folder, which the first event creates; None to keep the events in memory alone."""
        self.path = resolve(Path(folder)) / JOURNAL if folder is not None else None
        self._mutex = threading.RLock()
        self._depth = 0
        self._offset = self._lines = 0
        self._unread: list[Event] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads and processes from writing; they may read.

        Raises:
            FileError: the folder cannot be written.
        """
        with self._mutex:
            if self.path is None or self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            with explain_write_errors(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = (self.path.parent / LOCK).open("ab")
            with lock:
                _lock(lock.fileno())
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0
                    _unlock(lock.fileno())

    def read(self) -> list[Event]:
        """The events since the last call, in order.

        Raises:
            ArtifactError: a line is no event; names it.
        """
        with self._mutex:
            events, self._unread = self._unread, []
            return events + self._new_lines()

    def unread(self, events: Sequence[Event]) -> None:
        """Let `read` return these events once more, before all others."""
        with self._mutex:
            self._unread = [*events, *self._unread]

    def append(self, *events: Mapping[str, Any]) -> None:
        """Write events, within `locked`; on return they are on disk.

        Raises:
            FileError: the file cannot be written.
        """
        with self.locked():
            if self.path is None:
                self._unread += [dict(event) for event in events]
                return
            self._unread += self._new_lines()  # of others; ours follow
            lines = "".join(f"{json.dumps(event, ensure_ascii=True)}\n" for event in events)
            with explain_write_errors(self.path), self.path.open("ab+") as file:
                file.seek(0, os.SEEK_END)
                if file.tell() > self._offset:  # the start of a line whose writer was killed
                    file.truncate(self._offset)
                file.write(lines.encode("ascii"))
                file.flush()
                os.fsync(file.fileno())

    def _new_lines(self) -> list[Event]:
        """Events of the whole lines after those that were read."""
        if self.path is None or not (self._offset or self.path.exists()):
            return []
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(self._offset)
                text = file.read()
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path}: {error.strerror}") from error
        if size < self._offset:
            raise ArtifactError(f"{self.path} became shorter while it was used; open the labelling anew")
        whole = text[: text.rfind(b"\n") + 1]
        events = []
        for number, line in enumerate(whole.splitlines(), start=self._lines + 1):
            try:
                event = json.loads(line, object_pairs_hook=unique_keys, parse_constant=_refuse)
                if not isinstance(event, dict) or not isinstance(event.get("event"), str):
                    raise ValueError("no event")
            except (ValueError, RecursionError) as error:
                raise ArtifactError(
                    f"line {number} of {self.path} is damaged: {error}; remove that line, or label into a new folder"
                ) from error
            events.append(event)
        self._offset += len(whole)
        self._lines += len(events)
        return events


def _refuse(text: str) -> None:
    """Raise ValueError for a number that JSON does not have."""
    raise ValueError(f"{text} is not a finite number")


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)

    def _unlock(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
