"""The state of the aliases of a registry, which a service compares from time to time."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from softcloze.errors import ArtifactError, FileError
from softcloze.registry.entries import is_folder, list_folder
from softcloze.registry.references import is_alias, is_name
from softcloze.registry.store import Store

State: TypeAlias = Mapping[str, tuple[int, int, int]]
"""For each alias, as in "reviews@live": when its file was last changed in ns, its inode and its size in bytes."""


def read_state(root: Path) -> State:
    """The state of the files of all aliases; what is being written or removed is left out or has its earlier state.

    Raises:
        FileError: the folder of the registry is missing or cannot be read.
    """
    state = {}
    for name in filter(is_name, list_registry(root)):
        folder = Store(root / name).aliases_folder
        try:
            aliases = list_folder(folder) if is_folder(folder.parent) and is_folder(folder) else []
        except ArtifactError:  # a link
            continue
        for alias in filter(is_alias, aliases):
            try:
                status = (folder / alias).lstat()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise FileError(f"cannot read {folder / alias}: {error.strerror}") from error
            state[f"{name}@{alias}"] = (status.st_mtime_ns, status.st_ino, status.st_size)
    return state


def changed_aliases(before: State, after: State) -> tuple[str, ...]:
    """The aliases that are new, changed or gone between two states of a registry, in order.

    >>> changed_aliases({"a@live": (1, 1, 2), "b@live": (1, 2, 2)}, {"a@live": (9, 3, 2), "c@live": (9, 4, 2)})
    ('a@live', 'b@live', 'c@live')
    """
    return tuple(sorted(alias for alias in before.keys() | after.keys() if before.get(alias) != after.get(alias)))


def list_registry(folder: Path) -> list[str]:
    """Names in the folder of a registry, in order.

    Raises:
        FileError: the folder is missing or cannot be read.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise FileError(f"there is no folder {folder}; `softcloze registry add` creates a registry")
    return list_folder(folder)
