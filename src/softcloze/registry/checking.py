"""Check a whole registry: every version loads, every alias names one, every line of a history is a change."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from softcloze.errors import ArtifactError, FileError, RegistryError
from softcloze.registry.entries import is_folder, list_folder
from softcloze.registry.history import read_history
from softcloze.registry.references import is_alias, is_name, parse_number
from softcloze.registry.store import Store
from softcloze.registry.versions import load_version


class Fault(NamedTuple):
    """A fault of a registry.

    Attributes:
        path: of the file or folder.
        problem: the fault, and the fix where there is one.
    """

    path: Path
    problem: str

    def __str__(self) -> str:
        return self.problem if str(self.path) in self.problem else f"{self.path}: {self.problem}"


def check_registry(root: Path) -> Iterator[Fault]:
    """Yield all faults; hidden files, other files beside the prompts and what a killed writer left are none."""
    for name in _visible(root):
        path = root / name
        if path.is_symlink():
            yield Fault(path, "is a link, and links may lead outside the registry; copy what it leads to")
        elif not path.is_dir() or not any((path / part).exists() for part in ("versions", "aliases", "history.jsonl")):
            continue  # a file or folder of something else
        elif not is_name(name):
            lower = name.lower()
            advice = f"; rename it to {lower}" if is_name(lower) else ""
            yield Fault(path, f"{name!r} cannot be the name of a prompt, so that it is not served{advice}")
        else:
            yield from _check_store(Store(path))


def _check_store(store: Store) -> Iterator[Fault]:
    for folder in (store.versions_folder, store.aliases_folder):
        try:
            is_folder(folder)
        except (ArtifactError, FileError) as error:
            yield Fault(folder, str(error))
            return
    if not store.taken():
        yield Fault(store.folder, "has no versions")
    yield from _check_versions(store)
    yield from _check_aliases(store)
    yield from _check_history(store)


def _check_versions(store: Store) -> Iterator[Fault]:
    for name in _visible(store.versions_folder):
        path = store.versions_folder / name
        number = parse_number(name)
        if number is None:
            yield Fault(path, f"{name!r} is not the number of a version; move it elsewhere")
            continue
        try:
            if not is_folder(path):
                yield Fault(path, "is not the folder of a version; move it elsewhere")
            elif not store.is_removed(number):
                load_version(path)
        except (ArtifactError, FileError) as error:
            yield Fault(path, str(error))


def _check_aliases(store: Store) -> Iterator[Fault]:
    for name in _visible(store.aliases_folder):
        path = store.aliases_folder / name
        if not is_alias(name):
            yield Fault(path, f"{name!r} cannot be an alias; remove the file")
            continue
        try:
            store.resolve(name)
        except (ArtifactError, FileError, RegistryError) as error:
            yield Fault(path, str(error))


def _check_history(store: Store) -> Iterator[Fault]:
    path = store.history_file
    try:
        changes = read_history(path)
    except ArtifactError as error:
        yield Fault(path, str(error))
        return
    taken = set(store.taken())
    for change in changes:
        if isinstance(change, str):
            yield Fault(path, change)
    done = [change for change in changes if not isinstance(change, str)]
    named = {number for change in done for number in (change.before, change.after) if number is not None}
    for number in sorted(named - taken):
        yield Fault(
            path, f"names the version {number}, whose folder is gone; `remove` keeps the number, deleting a folder not"
        )


def _visible(folder: Path) -> list[str]:
    return [name for name in list_folder(folder) if not name.startswith(".")]
