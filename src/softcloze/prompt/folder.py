"""Folders of saved prompts, probes and ensembles: a JSON card that names all other files, each with a checksum.

A folder that exists is never replaced. New files get names that no other card has, then the card is replaced in one
step, then the files of the earlier card are removed. A process that is killed leaves the earlier card with its files or
the new one with its files. Files that no card names stay as they are.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from secrets import token_hex
from stat import S_ISREG
from typing import Annotated, Any, NamedTuple, TypedDict

from softcloze.errors import ArtifactError, FileError
from softcloze.files import (
    explain_write_errors,
    new_folder,
    replacing_file,
    unique_keys,
    validate_writable,
)
from softcloze.formatting import quoted
from softcloze.parameters import Constraint
from softcloze.prompt.hub import LARGEST_CARD, HubLocation
from softcloze.prompt.shape import check_shape

FORMAT = 4
MARK = b'"softcloze"'  # near the start of every card, be it damaged
# other folders that are taken for one of these, by the file that they hold
OTHERS = {
    "prompt.json": "it holds a prompt, for PromptClassifier.load",
    "probe.json": "it holds a probe on sentence embeddings, for ProbeClassifier.load",
    "generator.json": "it holds a prompt that writes, for PromptGenerator.load",
    "ensemble.json": "it holds an ensemble, for PromptEnsemble.load",
    "config.json": "it holds a model",
}


def matching(pattern: str, expected: str) -> Constraint:
    """Texts that match a regular expression as a whole; `expected` describes them."""
    return Constraint(expected, lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value, re.DOTALL)))


Digest = Annotated[str, matching("[0-9a-f]{64}", "a SHA-256 checksum")]
FileName = Annotated[
    str,
    matching(
        r"((prompt|probe)-[0-9a-f-]+/)?(prompt\.json|probe\.json|vectors[0-9a-f-]*\.safetensors)",
        "the name of a saved file",
    ),
]


class Sealed(TypedDict):
    """Entries of every card: the format, the version of softcloze, and the checksum of each other file."""

    format: int
    softcloze: str
    files: dict[FileName, Digest]


class Content(NamedTuple):
    """Content of a folder: entries of its card, and the other files by name."""

    card: Mapping[str, Any]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class SavedFolder:
    """A kind of folder.

    Attributes:
        card: name of its card.
        kind: "prompt", "generator", "probe" or "ensemble", for messages and the names of members of an ensemble.
        shape: type of the card, a subclass of `Sealed`.
    """

    card: str
    kind: str
    shape: Any

    def validate_target(self, path: str | PathLike[str]) -> Path:
        """Return the folder `path` if it can be written, before any work whose result it will hold.

        Raises:
            ArtifactError: it exists and is not such a folder.
            FileError: it cannot be written.
        """
        folder = folder_of(path)
        with explain_write_errors(folder):
            if not folder.exists():
                validate_writable(folder, folder=True)
                return folder
            card = folder / self.card
            has_card = card.is_file() and not card.is_symlink()
            # hidden files, as of a new repository, do not count
            if not has_card and not (folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())):
                raise ArtifactError(f"{folder} already exists and is not a saved {self.kind}; choose another path")
            if has_card and MARK not in read_inside(folder, self.card, most=200):
                raise ArtifactError(f"{card} was not written by softcloze; choose another path")
            validate_writable(card)  # the parent of a folder that exists may be read-only
        return folder

    def write(self, path: str | PathLike[str], make: Callable[[str], Content]) -> None:
        """Write a new folder as a whole, or write into an existing one, where other files stay.

        Args:
            path: the folder.
            make: returns the content; its argument is a suffix for the names of all files, so that no two cards name
                the same file and those of the earlier card stay until it is replaced; empty for a new folder.

        Raises:
            ArtifactError: `path` exists and is not such a folder, or an entry of the card has the wrong type.
            FileError: the folder cannot be written.
        """
        folder = self.validate_target(path)
        if not folder.exists():
            content = make("")
            sealed = self.seal(*content)
            try:
                with new_folder(folder) as draft:
                    _write(draft, {**content.files, self.card: sealed})
                return
            except FileError:
                if not folder.exists():  # else another process was faster
                    raise
        content = make(f"-{token_hex(6)}")
        sealed = self.seal(*content)
        earlier = self._names(folder)
        try:
            _write(folder, {**content.files, self.card: sealed})
        finally:  # after an error or an interruption either card may be there
            if current := self._names(folder):
                _remove(folder, (earlier | content.files.keys()) - current)

    def _names(self, folder: Path) -> set[str]:
        """Names of the files that the card names; empty if the card is damaged."""
        try:
            return {*self.read(folder)["files"]}
        except ArtifactError:
            return set()

    def seal(self, card: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
        """Make the text of a card: with the format, the version of softcloze, and checksums of all files and of itself.

        Raises:
            ArtifactError: an entry has the wrong type, or the card is too large; names the entry.
        """
        digests = {name: sha256(content).hexdigest() for name, content in files.items()}
        sealed = {"format": FORMAT, "softcloze": version("softcloze"), **card, "files": digests}
        try:
            plain = json.loads(json.dumps(sealed, allow_nan=False, default=_plain))
        except (TypeError, ValueError, RecursionError) as error:
            raise ArtifactError(f"this {self.kind} cannot be saved: {error}") from error
        problem = check_shape(plain, self.shape, "its card")
        plain["card_sha256"] = _digest(plain)
        text = json.dumps(plain, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass")  # as json.loads decodes
        if problem is not None or len(text) > LARGEST_CARD:
            problem = problem or f"its card has {len(text):,} bytes, and at most {LARGEST_CARD:,} can be loaded"
            raise ArtifactError(f"this {self.kind} cannot be saved: {problem}")
        return text + b"\n"

    def read(self, folder: Path) -> dict[str, Any]:
        """Read the card.

        Raises:
            ArtifactError: it is missing, damaged or altered, or has another format; names it.
        """
        reason = None
        if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            reason = "it is a file" if os.path.isfile(folder) else "there is no such folder"  # noqa: PTH113
        elif not os.path.lexists(folder / self.card):
            others = (text for name, text in OTHERS.items() if (folder / name).exists())
            reason = next(others, f"it has no {self.card}")
        if reason is not None:
            raise ArtifactError(f"{folder} is not a saved {self.kind}: {reason}")
        try:
            return self._parse(read_inside(folder, self.card, LARGEST_CARD))
        except ValueError as error:
            raise ArtifactError(f"{folder / self.card} {error}") from error

    def read_file(self, folder: Path, card: Mapping[str, Any], name: str) -> bytes:
        """Read another file of the folder and compare its checksum.

        Raises:
            ArtifactError: it is missing, damaged or altered; names it.
        """
        content = read_inside(folder, name)
        if sha256(content).hexdigest() != card["files"][name]:
            raise ArtifactError(f"{folder / name} is truncated or altered: its checksum no longer fits")
        return content

    def _parse(self, text: bytes) -> dict[str, Any]:
        """Parse a card; raise ValueError if the text, a checksum, the format or the type of an entry is wrong."""
        if len(text) > LARGEST_CARD:
            raise ValueError(f"has more than {LARGEST_CARD:,} bytes")
        try:
            card = json.loads(text, object_pairs_hook=unique_keys, parse_float=_finite, parse_constant=_finite)
            intact = card.pop("card_sha256") == _digest(card)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise ValueError(f"is damaged: {error!r}") from error
        if not intact:
            raise ValueError("was altered since it was saved: its checksum no longer fits")
        if card.get("format") != FORMAT:
            raise ValueError(
                f"has format {quoted(card.get('format'))}, written by softcloze {card.get('softcloze')!s:.40}; this "
                f"version reads format {FORMAT}"
            )
        if problem := check_shape(card, self.shape, "the card"):
            raise ValueError(f"is damaged: {problem}")
        result: dict[str, Any] = card
        return result


def saved_folder(path: str | PathLike[str]) -> Path:
    """The folder of a saved prompt: a path with `~` expanded, or of a location on a hub its folder in the cache.

    Args:
        path: the path, or hf://USER/NAME or hf://USER/NAME@REVISION with a branch, a tag or a commit.

    Raises:
        ArtifactError: `path` is neither, or it cannot be downloaded: see `HubLocation.download`.
    """
    location = HubLocation.parse(path) if isinstance(path, str | PathLike) else None
    return location.download() if location is not None else folder_of(path)


def folder_of(path: str | PathLike[str]) -> Path:
    """The path of a folder on this machine, with `~` expanded.

    Raises:
        ArtifactError: `path` is not the path of a folder.
    """
    name = os.fspath(path) if isinstance(path, str | PathLike) else None
    if not isinstance(name, str) or not name or "\0" in name:
        raise ArtifactError(f"expected the path of a folder, found {quoted(path)}")
    if HubLocation.parse(name) is not None:
        raise ArtifactError(
            f"{quoted(name, 100)} is on a hub, and a folder on this machine is expected; softcloze push, and "
            "push_to_hub of softcloze.integrations.hub, write to a hub"
        )
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # "~name" of an unknown user
        raise ArtifactError(f"there is no folder {name}: {error}") from error


def read_inside(folder: Path, name: str, most: int = -1) -> bytes:
    """Read at most `most` bytes and one more of a file inside a folder.

    A link is not followed, except one of the cache of huggingface_hub to a file that it downloaded.

    Raises:
        ArtifactError: there is no such file, or it is a link or a device; names it.
    """
    path = folder / name
    try:
        is_regular = S_ISREG(path.lstat().st_mode) and (path.parent == folder or not path.parent.is_symlink())
        if not is_regular and not _is_downloaded(path):
            raise ArtifactError(f"{path} is not a regular file, and links may lead outside the folder; copy the file")
        with path.open("rb") as file:
            return file.read(most + 1 if most >= 0 else -1)
    except OSError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def _is_downloaded(path: Path) -> bool:
    """Return whether a path is a link from `snapshots/COMMIT` of the cache of a hub to a file in its `blobs`."""
    target = path.resolve()
    snapshots = (parent for parent in path.parents if parent.name == "snapshots")
    return target.is_file() and any(target.parent == parent.resolve().parent / "blobs" for parent in snapshots)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files in order, each atomically."""
    for name, content in files.items():
        with replacing_file(folder / name) as draft:
            draft.write_bytes(content)


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files, and the folders inside `folder` that they leave empty."""
    for path in (folder / name for name in names):
        with suppress(OSError):  # a file that stays does no harm
            if path.parent == folder:
                path.unlink()
            elif not path.parent.is_symlink():
                path.unlink()
                path.parent.rmdir()


def _finite(text: str) -> float:
    """Parse a number; raise ValueError if it is not finite."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text:.20} is not a finite number")
    return value


def _digest(card: Mapping[str, Any]) -> str:
    return sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    """Convert values and arrays of numpy; raise TypeError for others that JSON does not hold."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"{quoted(value)} is not data that JSON holds")
    return value.tolist()
