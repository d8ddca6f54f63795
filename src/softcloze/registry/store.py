"""The folder of one prompt in a registry: versions that never change, and aliases.

    NAME/versions/N/prompt.json, vectors.safetensors    written in a hidden folder, then renamed
    NAME/versions/N/removed.json                        in place of them, so that no number comes twice
    NAME/aliases/ALIAS                                  the number of a version, replaced atomically
    NAME/history.jsonl                                  a line for each change

Links are never followed: they may lead outside the registry.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EEXIST, ENOTDIR, ENOTEMPTY
from pathlib import Path
from typing import NamedTuple

from softcloze.errors import ArtifactError, RegistryError
from softcloze.files import explain_write_errors, replacing_file
from softcloze.formatting import did_you_mean, quoted
from softcloze.prompt.folder import read_inside
from softcloze.registry.entries import is_folder, is_older, list_folder, sync
from softcloze.registry.references import is_alias, parse_number
from softcloze.registry.versions import Version

REMOVED = "removed.json"
_LEFTOVER = re.compile(r"\.[a-z0-9._-]{1,50}-[a-z0-9_]{8}")  # names of folders that an interrupted writer leaves
_LEFTOVER_AGE = 3600  # seconds; a writer takes less than one
_TAKEN = (EEXIST, ENOTEMPTY, ENOTDIR)  # errors of a rename onto a version


class Store(NamedTuple):
    """The folder of one prompt.

    Attributes:
        folder: its path.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The name of the prompt."""
        return self.folder.name

    @property
    def versions_folder(self) -> Path:
        """The folder of all versions."""
        return self.folder / "versions"

    @property
    def aliases_folder(self) -> Path:
        """The folder of all aliases."""
        return self.folder / "aliases"

    @property
    def history_file(self) -> Path:
        """The file of the history."""
        return self.folder / "history.jsonl"

    def numbers(self) -> list[int]:
        """Numbers of the versions that are not removed, in order.

        Raises:
            ArtifactError: a folder is a link.
            FileError: a folder cannot be read.
        """
        return [number for number in self.taken() if is_folder(self.path_of(number)) and not self.is_removed(number)]

    def taken(self) -> list[int]:
        """Numbers that no new version can have, in order; raises as `numbers`."""
        return sorted(filter(None, map(parse_number, self._entries(self.versions_folder))))

    def is_removed(self, number: int) -> bool:
        """Return True for a version that was removed."""
        return os.path.lexists(self.path_of(number) / REMOVED)

    def path_of(self, number: int) -> Path:
        """The folder of a version."""
        return self.versions_folder / str(number)

    def version(self, number: int) -> Version:
        """A version that exists.

        Raises:
            RegistryError: it does not exist, or was removed.
            ArtifactError: its folder is a link.
        """
        path = self.path_of(number)
        if not self._has(self.versions_folder) or not is_folder(path):
            numbers = self.numbers()
            newest = f"; the newest is {self.name}@{numbers[-1]}" if numbers else ""
            raise RegistryError(f"there is no version {self.name}@{number} in {self.folder.parent}{newest}")
        if self.is_removed(number):
            raise RegistryError(f"the version {self.name}@{number} was removed from {self.folder.parent}")
        return Version(self.name, number, path)

    def aliases(self) -> dict[str, int]:
        """The number of the version that each alias names, in order of the aliases.

        Raises:
            ArtifactError: the file of an alias is damaged; names it.
            FileError: the folder cannot be read.
        """
        numbers = {alias: self.read_alias(alias) for alias in self.alias_names()}
        return {alias: number for alias, number in numbers.items() if number is not None}

    def alias_names(self) -> list[str]:
        """The aliases, in order; raises as `numbers`."""
        return sorted(filter(is_alias, self._entries(self.aliases_folder)))

    def read_alias(self, alias: str) -> int | None:
        """The number of the version that an alias names; None if there is no such alias.

        Raises:
            ArtifactError: its file is damaged, or a link; names it.
        """
        path = self.aliases_folder / alias
        if not self._has(self.aliases_folder):
            return None
        try:
            text = read_inside(self.aliases_folder, alias, most=100)
        except ArtifactError:
            if os.path.lexists(path):
                raise
            return None
        number = parse_number(text.decode("ascii", "replace").strip())
        if number is None:
            raise ArtifactError(
                f"{path} is damaged: it holds {quoted(text)}; expected the number of a version, so write it or delete "
                "the file"
            )
        return number

    def resolve(self, alias: str) -> Version:
        """The version that an alias names.

        Raises:
            RegistryError: there is no such alias.
            ArtifactError: its file is damaged, or it names no version.
        """
        while True:
            number = self.read_alias(alias)
            if number is None:
                known = self.alias_names()
                names = f"; it has the aliases {', '.join(known)}" if known else "; it has none"
                raise RegistryError(
                    f"{self.name} has no alias {alias!r} in {self.folder.parent}{did_you_mean(alias, known)}{names}"
                )
            try:
                return self.version(number)
            except RegistryError as error:
                if self.read_alias(alias) != number:
                    continue  # it moved, and the version was removed
                if self._has_files(number):  # whose removal will be undone, since an alias names it
                    return Version(self.name, number, self.path_of(number))
                raise ArtifactError(f"{self.aliases_folder / alias} names a version that is gone: {error}") from error

    def write_alias(self, alias: str, number: int | None) -> None:
        """Let an alias name another version; None removes it.

        Raises:
            ArtifactError: its file is a link.
            FileError: it cannot be written.
        """
        path = self.aliases_folder / alias
        if self._has(self.aliases_folder) and os.path.lexists(path):  # `replacing_file` follows links
            read_inside(self.aliases_folder, alias, most=0)
        if number is None:
            with explain_write_errors(path):
                path.unlink(missing_ok=True)
            return
        with replacing_file(path) as draft:
            draft.write_text(f"{number}\n", encoding="ascii", newline="\n")

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Yield the path of a folder to write, hidden beside the versions; it is gone at the end unless it was placed.

        Raises:
            ArtifactError: the folder of the versions is a link.
            FileError: it cannot be written.
        """
        self._has(self.versions_folder)
        with explain_write_errors(self.versions_folder):
            self.versions_folder.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.versions_folder))
        try:
            yield aside / "version"
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def place(self, draft: Path, is_same: Callable[[Path], bool]) -> tuple[Version, bool]:
        """Rename a draft to the next version, unless a version has the same content.

        A folder is never renamed onto one that is not empty, so that of two writers one takes the next number but one.

        Args:
            draft: the folder that becomes a version.
            is_same: returns True for the folder of a version with the content of the draft.

        Returns:
            The version, and False if it existed before.

        Raises:
            FileError: the folder cannot be renamed.
        """
        compared = 0
        while True:
            taken = self.taken()
            for number in (number for number in taken if number > compared):
                if not self.is_removed(number) and is_same(self.path_of(number)):
                    return self.version(number), False
            compared = max(taken, default=0)
            path = self.path_of(compared + 1)
            with explain_write_errors(path):
                try:
                    draft.rename(path)
                except OSError as error:
                    if error.errno not in _TAKEN:
                        raise
                    continue  # another writer was faster
                sync(self.versions_folder)
            return Version(self.name, compared + 1, path), True

    def mark_removed(self, number: int, text: str) -> None:
        """Mark a version as removed; its files stay until `clear`.

        Raises:
            FileError: the mark cannot be written.
        """
        path = self.path_of(number) / REMOVED
        with explain_write_errors(path), path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)

    def unmark(self, number: int) -> None:
        """Undo `mark_removed`."""
        with suppress(OSError):
            (self.path_of(number) / REMOVED).unlink()

    def clear(self, number: int) -> None:
        """Delete the files of a version that is marked as removed; what stays does no harm."""
        with suppress(OSError):
            for path in self.path_of(number).iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != REMOVED:
                    path.unlink()

    def remove_leftovers(self) -> None:
        """Delete what writers that were killed over an hour ago have left: drafts, and files of removed versions."""
        latest = time.time() - _LEFTOVER_AGE
        for folder in (self.versions_folder, self.aliases_folder):
            for path in (folder / name for name in self._entries(folder) if _LEFTOVER.fullmatch(name)):
                if is_older(path, latest) and is_folder(path):
                    shutil.rmtree(path, ignore_errors=True)
        removed = [number for number in self.taken() if is_older(self.path_of(number) / REMOVED, latest)]
        if any(map(self._has_files, removed)):
            named = self.aliases().values()
            for number in removed:
                (self.unmark if number in named else self.clear)(number)

    def _has_files(self, number: int) -> bool:
        """Return True for a version that has files, be it marked as removed."""
        path = self.path_of(number)
        return self._has(path) and any(name != REMOVED for name in list_folder(path))

    def _entries(self, folder: Path) -> list[str]:
        """Names in a folder; none if there is no such folder."""
        return list_folder(folder) if self._has(folder) else []

    def _has(self, folder: Path) -> bool:
        """Return True if there is a folder of versions or aliases; raise ArtifactError for a link."""
        return is_folder(self.folder) and is_folder(folder)
