"""Entries of folders: links raise, and what another process has just removed is absent."""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISLNK

from softcloze.errors import ArtifactError, FileError
from softcloze.prompt.folder import read_inside


def is_folder(path: Path) -> bool:
    """Return True for a folder, False if there is nothing or a file.

    Raises:
        ArtifactError: it is a link.
        FileError: its parent cannot be read.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    if S_ISLNK(mode):
        raise ArtifactError(f"{path} is a link, and links may lead outside the registry; copy what it leads to")
    return S_ISDIR(mode)


def list_folder(folder: Path) -> list[str]:
    """Names in a folder, in order; none if it is gone.

    Raises:
        FileError: it cannot be read.
    """
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FileError(f"cannot read {folder}: {error.strerror}") from error


def has_content(path: Path, content: bytes) -> bool:
    """Return True if a file has this content; one that is not there has none, and a link another one."""
    try:
        if not os.path.lexists(path):
            return not content
        return path.stat().st_size == len(content) and read_inside(path.parent, path.name) == content
    except OSError:
        return False


def is_older(path: Path, latest: float) -> bool:
    """Return True for a path that was last changed before a time, in seconds since 1970."""
    try:
        return path.lstat().st_mtime < latest
    except OSError:
        return False


def sync(folder: Path) -> None:
    """Write the entries of a folder to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
