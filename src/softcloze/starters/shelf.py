"""Which starters are in the cache, and taking one out."""

import shutil
from pathlib import Path

from softcloze.starters.cache import partial, place
from softcloze.starters.catalogue import DATASETS, MODELS
from softcloze.starters.errors import StarterError, StarterNameError


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
