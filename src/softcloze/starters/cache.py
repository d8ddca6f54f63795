"""The cache of fetched starters; each is added completely or not at all."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from softcloze.errors import StarterError, StarterNameError
from softcloze.files import remove_folder
from softcloze.starters.catalogue import DATASETS, MODELS

_PARTIAL = ".partial-"
_DAY = 24 * 60 * 60  # seconds
_FULL = (errno.ENOSPC, errno.EDQUOT)


def build(target: Path, fill: Callable[[Path, Path], None], *, needed: int) -> Path:
    """Create the folder `target` unless it exists, and return it; it is complete at any time, or absent.

    Several processes may do this at once. Each works in a temporary folder next to `target`; the first to finish
    renames its folder, and the others use that one.

    Args:
        target: the folder to create, inside the cache.
        fill: called with two empty folders: one to fill, one for scratch files.
        needed: peak disk usage in bytes.
    """
    if target.is_dir():
        return target
    work = _temporary_folder(target.parent)
    ready, scratch = work / "ready", work / "scratch"
    try:
        if shutil.disk_usage(work).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        ready.mkdir()
        scratch.mkdir()
        fill(ready, scratch)
        try:
            ready.rename(target)
        except OSError:
            if not target.is_dir():  # no other process was faster
                raise
    except Exception as error:
        if is_disk_full(error):
            raise StarterError(
                f"the disk is too full to build the starter {target.name!r}\n"
                f"  needed: {megabytes(needed)} while it is built, in {target.parent}\n"
                "  free some space, or set SOFTCLOZE_CACHE to a folder on a larger disk"
            ) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def is_disk_full(error: BaseException | str) -> bool:
    """Recognize an error or an output that reports a full disk.

    Rust libraries, which write weights and tokenizers, give the text of an error without its number.

    >>> is_disk_full(OSError(28, "No space left on device")), is_disk_full(ValueError("... (os error 28)"))
    (True, True)
    """
    texts = (os.strerror(errno.ENOSPC), "os error 28")
    return getattr(error, "errno", None) in _FULL or any(text in str(error) for text in texts)


def megabytes(size: int) -> str:
    """Format a number of bytes, rounded up.

    >>> megabytes(17_268_968), megabytes(28_376)
    ('18 MB', '1 MB')
    """
    return f"{-(-size // 1_000_000):,} MB"


def _temporary_folder(parent: Path) -> Path:
    """Create a folder in `parent` for unfinished work, and remove those that killed processes left a day ago."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=parent))
    except OSError as error:
        raise StarterError(
            f"cannot write to the cache folder {parent}: {error.strerror}\n"
            "  set SOFTCLOZE_CACHE to a folder that you may write to"
        ) from error
    for left in parent.glob(_PARTIAL + "*"):
        try:
            stale = time.time() - left.stat().st_mtime > _DAY
        except OSError:  # removed meanwhile by its owner
            continue
        if stale:
            shutil.rmtree(left, ignore_errors=True)
    return work


def is_cached(name: str) -> bool:
    """Return whether a model or data set can be used without a download.

    Raises:
        StarterNameError: no starter has this name.
    """
    return _folder(name).is_dir()


def remove(name: str) -> None:
    """Remove a model or data set from the cache, if it is cached.

    Raises:
        StarterNameError: no starter has this name.
        StarterError: the cache cannot be written to.
    """
    folder = _folder(name)
    if folder.is_dir():
        try:
            remove_folder(folder)
        except OSError as error:
            raise StarterError(f"cannot remove {folder}: {error.strerror}") from error


def _folder(name: str) -> Path:
    starter = MODELS.get(name) or DATASETS.get(name)
    if starter is None:
        raise StarterNameError("model or data set", name, [*MODELS, *DATASETS])
    return starter.folder
