"""The folder that holds what was fetched, and how something gets into it whole or not at all."""

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from softcloze.starters.errors import StarterError

_LAYOUT = "v1"  # a new name here whenever a conversion or a cleaning rule changes what is stored
_PARTIAL = ".partial-"
_DAY = 24 * 60 * 60  # seconds

_FULL = {errno.ENOSPC, errno.EDQUOT}


def cache_dir() -> Path:
    """The folder for starters: `SOFTCLOZE_CACHE` if set, else `softcloze` in the user's cache folder.

    >>> import os
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, SOFTCLOZE_CACHE="/data/starters"):
    ...     cache_dir().as_posix()
    '/data/starters'
    """
    chosen = os.environ.get("SOFTCLOZE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    if xdg and Path(xdg).is_absolute():  # the XDG rules: a relative path is to be ignored
        return Path(xdg) / "softcloze"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) / "softcloze" if local else Path.home() / "AppData" / "Local" / "softcloze"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "softcloze"
    return Path.home() / ".cache" / "softcloze"


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
