"""Shards of a run: parts of the rows, which machines can work on side by side."""

import re
from pathlib import Path
from typing import NamedTuple, Self

from softcloze.cli.sources import STANDARD
from softcloze.errors import CommandError
from softcloze.formatting import counted

SUFFIX = ".part"  # of every journal


class Shard(NamedTuple):
    """One of several parts of the rows.

    Attributes:
        number: of the part, from 1.
        of: number of parts.

    >>> [Shard(number, 3).rows(2000, 256) for number in (1, 2, 3)]
    [range(0, 512), range(512, 1280), range(1280, 2000)]
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the value of --shard.

        Raises:
            CommandError: it is not of the form 3/16, or there is no such part.
        """
        numbers = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        shard = cls(*map(int, numbers.groups())) if numbers else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise CommandError(f"--shard {text}: expected the number of a part and of all parts, from 1/16 to 16/16")
        return shard

    @classmethod
    def of_output(cls, text: str | None, out: Path | None) -> Self | None:
        """Parse the value of --shard of a command with --out; None without a value.

        Raises:
            CommandError: as `parse`, or the output is no file.
        """
        if text is not None and (out is None or out == STANDARD):
            raise CommandError(
                f"--shard {text} needs --out with a file, beside which the results of each shard are kept"
            )
        return cls.parse(text) if text is not None else None

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def suffix(self) -> str:
        """The part of the name of its journal after that of the output."""
        return f".{self.number}-of-{self.of}"

    def kept_in(self, journal: Path) -> str:
        """Name the journal of this part and its use, for messages."""
        return f"kept in {journal} for softcloze join, when all {self.of} shards are done"

    def rows(self, total: int, window: int) -> range:
        """The rows of this part, in whole windows, so that each row has the same company as in a run over all rows.

        Args:
            total: number of all rows.
            window: rows that are scored, or get their texts, together.

        Raises:
            CommandError: there are more parts than windows.
        """
        windows = -(-total // window)
        if self.of > windows:
            raise CommandError(
                f"--shard {self}: the {counted(total, 'row')} of the input make {counted(windows, 'window')} of "
                f"{window}, which stay together; take at most {counted(windows, 'shard')}"
            )
        first, end = (number * windows // self.of * window for number in (self.number - 1, self.number))
        return range(first, min(end, total))
