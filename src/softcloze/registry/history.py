"""The history of a prompt in a registry: a line of JSON for each change, in the order of the changes."""

import getpass
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, TypedDict

from softcloze.errors import ArtifactError
from softcloze.files import explain_write_errors, unique_keys
from softcloze.parameters import Constraint
from softcloze.prompt.card import Count
from softcloze.prompt.folder import read_inside
from softcloze.prompt.shape import check_shape

Action = Literal["add", "promote", "rollback", "remove"]
LARGEST = 2**26  # bytes of a history
NOTE = Constraint(
    "one line of at most 500 characters",
    lambda value: isinstance(value, str) and len(value) <= 500 and value.isprintable(),
)


class _Line(TypedDict):
    when: str
    who: str
    action: Action
    alias: str | None
    before: Count | None
    after: Count | None
    note: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a registry.

    Attributes:
        when: time in UTC, as in "2026-11-30T08:42:48+00:00".
        who: name of the user.
        action: "add", "promote", "rollback" or "remove".
        alias: the alias that moves; None for a change of a version.
        before: number of the version before: that the alias named, or that is removed; None for none.
        after: number of the version after: that the alias names, or that is added; None for none.
        note: the reason, in words of the user.
    """

    when: str
    who: str
    action: Action
    alias: str | None
    before: int | None
    after: int | None
    note: str = ""

    @classmethod
    def now(cls, action: Action, alias: str | None, before: int | None, after: int | None, note: str) -> Self:
        """A change by this user at this time."""
        return cls(datetime.now(UTC).isoformat(timespec="seconds"), _user(), action, alias, before, after, note)

    def to_line(self) -> str:
        """The change as a line of JSON, with its end."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def append_change(path: Path, change: Change) -> None:
    """Append a change to a history, on a line of its own, be the last line cut off.

    Raises:
        ArtifactError: the file is a link.
        FileError: it cannot be written.
    """
    with explain_write_errors(path):
        if os.path.lexists(path):
            read_inside(path.parent, path.name, most=0)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        with open(descriptor, "rb+", buffering=0) as file:  # noqa: PTH123 - a descriptor
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
            is_cut = size > 0 and file.read(1) != b"\n"
            file.write(("\n" * is_cut + change.to_line()).encode())  # one call, so that no other line comes between
            os.fsync(descriptor)


def read_history(path: Path) -> list[Change | str]:
    """Read a history: its changes, and the problem of each line that is none.

    Raises:
        ArtifactError: the file is a link or a device, cannot be read or is too large.
    """
    if not os.path.lexists(path):
        return []
    content = read_inside(path.parent, path.name, LARGEST)
    if len(content) > LARGEST:
        raise ArtifactError(f"{path} has more than {LARGEST:,} bytes")
    return [*_parse_lines(content)]


def _parse_lines(content: bytes) -> Iterator[Change | str]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as error:
            yield f"line {number} is not JSON: {error}"
            continue
        problem = check_shape(entry, _Line, "the change")
        yield Change(**entry) if problem is None else f"line {number} is no change: {problem}"


def version_before(changes: Iterable[Change], alias: str, current: int) -> int | None:
    """The version that an alias named before the current one; None if the history does not say.

    A rollback undoes the last promotion that is not undone. A change that leads nowhere, because its writer was killed
    before the alias moved, does not count.

    >>> changes = [Change("", "", "promote", "live", *pair) for pair in ((None, 1), (1, 2), (2, 3))]
    >>> version_before(changes, "live", 3)
    2
    >>> version_before([*changes, Change("", "", "rollback", "live", 3, 2)], "live", 2)
    1
    """
    done: list[Change] = []
    expected: int | None = current
    for change in reversed([change for change in changes if change.alias == alias]):
        if change.after == expected:
            done.append(change)
            expected = change.before
    named = [expected] if expected is not None else []
    for change in reversed(done):
        if change.action == "rollback" and change.after in named:
            del named[named.index(change.after) + 1 :]
        else:
            named = [*named, change.after] if change.after is not None else []
    return named[-2] if len(named) > 1 else None


def _user() -> str:
    """The name of the user; of a number where the system has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
