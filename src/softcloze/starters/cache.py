"""The folder that holds what was fetched, and how something gets into it whole or not at all."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from softcloze.errors import StarterError, StarterNameError
from softcloze.files import cache_dir
from softcloze.starters.catalogue import DATASETS, MODELS

_LAYOUT = "v1"  # a new name here whenever a conversion or a cleaning rule changes what is stored
_PARTIAL = ".partial-"
_DAY = 24 * 60 * 60  # seconds
_FULL = {errno.ENOSPC, errno.EDQUOT}


def place(kind: str, name: str) -> Path:
    """Where the starter `name` lies once it is ready; `kind` is `models` or `data`."""
    return cache_dir() / _LAYOUT / kind / name


def build(target: Path, fill: Callable[[Path, Path], None], *, needed: int) -> Path:
    """Make the folder `target` unless it is there, so that it is either complete or absent.

    Several processes may do this at once: each works in a folder of its own next to `target`, the
    first to finish gives it the name, and the others take that one.

    Args:
        target: the folder to make, inside the cache.
        fill: called with two empty folders: one to fill, one for scratch files.
        needed: bytes of disk that the work takes at its peak.

    Returns:
        `target`.

    Raises:
        StarterError: the cache cannot be written to, or the disk is full.
    """
    if target.is_dir():
        return target
    work = partial(target.parent)
    try:
        if shutil.disk_usage(work).free < needed:
            raise _full(target, needed)
        ready, scratch = work / "ready", work / "scratch"
        ready.mkdir()
        scratch.mkdir()
        fill(ready, scratch)
        try:
            ready.rename(target)
        except OSError:
            if not target.is_dir():  # nobody was faster, so this is a real failure
                raise
    except StarterError:
        raise
    except Exception as error:
        if is_full(error):
            raise _full(target, needed) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def is_full(error: BaseException) -> bool:
    """Whether `error` says that the disk is full.

    The Rust libraries that write weights and tokenizers give no error number, only its text.

    >>> is_full(OSError(28, "No space left on device")), is_full(ValueError("No space left on device (os error 28)"))
    (True, True)
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return says_full(str(error))


def says_full(text: str) -> bool:
    """Whether a message from elsewhere says that the disk is full."""
    return os.strerror(errno.ENOSPC) in text or "os error 28" in text


def _full(target: Path, needed: int) -> StarterError:
    return StarterError(
        f"the disk is too full to build the starter {target.name!r}\n"
        f"  needed: {megabytes(needed)} while it is built, in {target.parent}\n"
        "  free some space, or set SOFTCLOZE_CACHE to a folder on a larger disk"
    )


def megabytes(size: int) -> str:
    """A number of bytes as people read it.

    >>> megabytes(17_268_968), megabytes(28_376)
    ('18 MB', '1 MB')
    """
    return f"{-(-size // 1_000_000):,} MB"


def partial(parent: Path) -> Path:
    """A new folder in `parent` for unfinished work.

    Those that killed runs left there more than a day ago are removed.

    Raises:
        StarterError: the cache cannot be written to.
    """
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
        except OSError:  # its owner has just finished
            continue
        if stale:
            shutil.rmtree(left, ignore_errors=True)
    return work


def is_cached(name: str) -> bool:
    """Whether a model or data set is ready for use without a download.

    Raises:
        StarterNameError: no starter has this name.
    """
    return _folder(name).is_dir()


def remove(name: str) -> None:
    """Take a model or data set out of the cache; nothing happens if it is not there.

    Raises:
        StarterNameError: no starter has this name.
        StarterError: the cache cannot be written to.
    """
    folder = _folder(name)
    if not folder.is_dir():
        return
    try:
        # Out of sight in one step first: a removal that is interrupted leaves no half a starter.
        folder = folder.rename(partial(folder.parent) / "removed")
    except OSError as error:
        raise StarterError(f"cannot remove {folder}: {error.strerror}") from error
    shutil.rmtree(folder.parent, ignore_errors=True)


def _folder(name: str) -> Path:
    if name in MODELS:
        return place("models", name)
    if name in DATASETS:
        return place("data", name)
    raise StarterNameError("model or data set", name, [*MODELS, *DATASETS])
