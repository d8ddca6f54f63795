"""A version of a prompt: its folder, and what that loads."""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from softcloze.errors import ArtifactError
from softcloze.formatting import size
from softcloze.prompt.saved import AnySaved, SavedCards
from softcloze.registry.examples import VersionExample, read_examples

LARGEST = 2**28  # bytes of a version, of which most have kilobytes


class Version(NamedTuple):
    """A version of a prompt.

    Attributes:
        name: of the prompt.
        number: of the version, from 1.
        path: its folder, as of `Prompt.save`.
    """

    name: str
    number: int
    path: Path

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


class Loaded(NamedTuple):
    """A version that is loaded: its cards, the prompt, probe, ensemble or generator, and examples to try."""

    cards: SavedCards
    saved: AnySaved
    examples: tuple[VersionExample, ...]


def load_version(path: Path) -> Loaded:
    """Load a version as a whole.

    Raises:
        ArtifactError: it is too large, or a file is missing, damaged or altered; names the file.
    """
    validate_size(path)
    cards = SavedCards.read(path)
    return Loaded(cards, cards.load(), read_examples(path))


def validate_size(folder: Path) -> None:
    """Raise ArtifactError if the files of a version are larger than any prompt, before they are read."""
    total = 0
    for parent, _, names in os.walk(folder):
        for path in (Path(parent) / name for name in names):
            with suppress(OSError):
                status = path.lstat()
                total += status.st_size if S_ISREG(status.st_mode) else 0
    if total > LARGEST:
        raise ArtifactError(f"{folder} has {size(total)}, and a version has at most {size(LARGEST)}")
