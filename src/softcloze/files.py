"""Atomic replacement of files and folders, JSON objects with unique keys, and the cache folder."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softcloze.errors import FileError, SoftclozeError


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` atomically at the end; a link stays a link.

    Raises:
        FileError: the file cannot be written; names it.
    """
    with explain_write_errors(path):
        target = resolve(path)
        with _folder_beside(target) as aside:
            draft = aside / target.name
            yield draft
            with draft.open("rb+") as file:
                os.fsync(file.fileno())  # else a power cut may keep the new name and lose the content
            draft.replace(target)


def expand_user(path: str | Path) -> Path:
    """The path with `~` expanded.

    Raises:
        FileError: there is no user of the name after `~`.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileError(f"there is no {path}: {error}") from error


def resolve(path: Path) -> Path:
    """The absolute path with `~`, links and `..` followed; what does not exist stays as it is.

    Raises:
        FileError: there is no user of the name after `~`, or links lead to each other.
    """
    try:
        return expand_user(path).resolve()
    except RuntimeError as error:  # until Python 3.12
        raise FileError(f"{path} is a link in a circle of links") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; a lone surrogate, which UTF-8 cannot hold, becomes a question mark.

    Raises:
        FileError: the file cannot be written; names it.
    """
    with replacing_file(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="replace", newline="\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which becomes `path` at the end.

    Raises:
        FileError: `path` exists and is not empty, or cannot be written; names it.
    """
    with explain_write_errors(path), _folder_beside(path) as aside:
        draft = aside / "new"
        draft.mkdir()
        yield draft
        draft.rename(path)


def validate_writable(path: Path, *, folder: bool = False) -> None:
    """Make sure that a file or folder can be written at `path`, before any work whose result it will hold.

    Nothing is left behind. Missing parent folders are no obstacle: writing creates them.

    Args:
        path: of the file or folder; for files with names of their own in a folder, the path of one of them.
        folder: whether a folder will be written.

    Raises:
        FileError: the parent folder does not take new entries, or a folder is in the place of the file or the other
            way round; names the path.

    >>> validate_writable(Path("/dev/null/prompt"), folder=True)
    Traceback (most recent call last):
    softcloze.errors.FileError: cannot write /dev/null/prompt: /dev/null is not a folder
    """
    with explain_write_errors(path):
        target = resolve(path)
        if target.exists() and (not target.is_dir() if folder else not target.is_file()):
            kind = "a folder" if target.is_dir() else "a file" if target.is_file() else "a device or pipe"
            raise FileError(f"{path} is {kind}; name {'a folder' if folder else 'a file'} to write")
        parent = target.parent
        while not os.path.lexists(parent):
            parent = parent.parent
        if not parent.is_dir():
            raise FileError(f"cannot write {path}: {parent} is not a folder")
        with _folder_beside(parent / target.name):
            pass


def validate_new_folder(path: Path) -> None:
    """Make sure that `path` is a new or an empty folder that can be written.

    Raises:
        FileError: it is something else or cannot be written; names the path.
    """
    validate_writable(path, folder=True)
    with explain_write_errors(path):
        if path.exists() and any(path.iterdir()):
            raise FileError(f"{path} already exists and is not empty; choose another path")


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system into a FileError about `path`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SoftclozeError):
            raise
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    except UnicodeEncodeError as error:
        raise FileError(f"cannot write {str(path)!r}: the name has characters that no file system takes") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON, as `object_pairs_hook`; raise ValueError for a key that comes twice."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"{key!r} comes twice")
        table[key] = value
    return table


def remove_folder(path: Path) -> None:
    """Remove a folder and its content, without ever showing it half empty."""
    with _folder_beside(path) as aside:
        path.replace(aside / path.name)


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same file system; files created in it have default permissions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name[:50]}-", dir=path.parent))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def cache_dir() -> Path:
    """The cache folder: `SOFTCLOZE_CACHE` if set, else `softcloze` in the user's cache folder.

    >>> import os
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, SOFTCLOZE_CACHE="/data/starters"):
    ...     cache_dir().as_posix()
    '/data/starters'
    """
    chosen = os.environ.get("SOFTCLOZE_CACHE")
    if chosen:
        return expand_user(chosen)
    xdg = os.environ.get("XDG_CACHE_HOME")
    if xdg and Path(xdg).is_absolute():  # XDG: relative paths must be ignored
        return Path(xdg) / "softcloze"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) / "softcloze" if local else Path.home() / "AppData" / "Local" / "softcloze"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "softcloze"
    return Path.home() / ".cache" / "softcloze"
