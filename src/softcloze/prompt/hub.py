"""Saved prompts on a hub: locations as hf://USER/NAME@REVISION, and their folders in the cache of huggingface_hub."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

from softcloze.errors import ArtifactError, SoftclozeError
from softcloze.formatting import quoted, size

LARGEST_DOWNLOAD = 2**32  # bytes; a mistaken repository shall not fill the disk
MOST_FILES = 2000  # an ensemble of a thousand members
LARGEST_CARD = 2**28  # bytes, as of a folder
CARDS = ("prompt.json", "probe.json", "generator.json", "ensemble.json")
_VECTORS = "vectors*.safetensors"
FILES = (
    *CARDS,
    _VECTORS,
    *(f"{kind}-*/{name}" for kind in ("prompt", "probe") for name in (f"{kind}.json", _VECTORS)),
)
"""Patterns of the files of a saved prompt, probe, generator or ensemble; nothing else is downloaded or removed."""

REPOSITORY = re.compile(r"(?!.*(?:--|\.\.))\w[\w.-]{0,95}/\w[\w.-]{0,95}(?<!\.git)", re.ASCII)
# a Path of hf://user/name has one slash there
_LOCATION = re.compile(r"(?i:hf):/{1,2}(?:models/)?([^@]*?)/?(?:@(.*))?", re.DOTALL)
# names of Git; the cache has a file of this name, which must not lie elsewhere
_REVISION = re.compile(
    r"(?!.*(?:\.\.|//|@\{))[^\s\x00-\x20\x7f~^:?*\[\\/.-][^\s\x00-\x20\x7f~^:?*\[\\]{0,254}(?<![/.])"
)
_COMMIT = re.compile("[0-9a-f]{40}")
_SNAPSHOT = re.compile("models--(.+)")  # a folder of the cache: models--user--name/snapshots/COMMIT
_LOGIN = "hf auth login"


class HubLocation(NamedTuple):
    """A repository on a hub, at a revision.

    Attributes:
        repository: as in "user/name".
        revision: a branch, a tag or a commit; None for the newest commit.
    """

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, path: str | PathLike[str]) -> Self | None:
        """Parse a location; None for the path of a folder on this machine.

        Raises:
            ArtifactError: it begins as a location and names no repository, or no revision after an @.

        >>> HubLocation.parse("hf://user/name@v1")
        HubLocation(repository='user/name', revision='v1')
        >>> HubLocation.parse("user/name")
        """
        text = fspath(path)
        found = _LOCATION.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            return None
        if not REPOSITORY.fullmatch(found[1]):
            raise ArtifactError(
                f"{quoted(text, 100)} names no repository of a hub; expected hf://USER/NAME or hf://USER/NAME@REVISION"
            )
        revision = unquote(found[2]) if found[2] is not None else None
        if revision is not None and not _REVISION.fullmatch(revision):
            raise ArtifactError(
                f"{quoted(text, 100)} names no branch, tag or commit after the @; expected one as in "
                "hf://USER/NAME@v1, or nothing for the newest commit"
            )
        return cls(found[1], revision)

    @classmethod
    def of_snapshot(cls, folder: Path) -> Self | None:
        """The location of a folder in the cache, with its commit; None for any other folder."""
        found = _SNAPSHOT.fullmatch(folder.parent.parent.name)
        if found is None or folder.parent.name != "snapshots" or not _COMMIT.fullmatch(folder.name):
            return None
        return cls(found[1].replace("--", "/", 1), folder.name)

    def __str__(self) -> str:
        """The location as it is written.

        >>> print(HubLocation("user/name"), HubLocation("user/name", "v1"))
        hf://user/name hf://user/name@v1
        """
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision is not None else "")

    def download(self) -> Path:
        """The folder of the cache that holds the files of a saved prompt; what it has is not downloaded again.

        A commit that the cache holds needs no hub. A branch or a tag is looked up; where no hub can be reached, the
        commit counts that it named when it was downloaded.

        Raises:
            ArtifactError: there is no such repository or revision, it is private, it holds no saved prompt or a huge
                one, or it is not in the cache and no hub can be reached.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            try:
                return self._snapshot(cached=True)
            except LocalEntryNotFoundError:
                pass
        with explain_hub_errors(str(self), self):
            try:
                found = HfApi().model_info(self.repository, revision=self.revision, files_metadata=True)
            except Exception as error:  # several libraries' errors of connections, and offline mode
                if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                    raise
                try:
                    return self._snapshot(cached=True)
                except LocalEntryNotFoundError:
                    pass
                raise
            sizes = {file.rfilename: file.size or 0 for file in found.siblings or () if is_artifact(file.rfilename)}
            if not {*sizes} & {*CARDS}:
                raise ArtifactError(f"{self} is not a saved prompt: it has none of the files {', '.join(CARDS)}")
            self._validate_sizes(sizes)
            return self._snapshot()

    def _snapshot(self, *, cached: bool = False) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils.tqdm import tqdm

        class NoBar(tqdm):  # of some kilobytes
            def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
                super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        folder = snapshot_download(
            self.repository,
            revision=self.revision,
            allow_patterns=[*FILES],
            local_files_only=cached,
            tqdm_class=NoBar,
        )
        return Path(folder)

    def _validate_sizes(self, sizes: dict[str, int]) -> None:
        for name, bytes_ in sizes.items():
            if name.endswith(".json") and bytes_ > LARGEST_CARD:
                raise ArtifactError(f"{self}: {name} has {size(bytes_)}, and at most {size(LARGEST_CARD)} are read")
        if len(sizes) > MOST_FILES:
            raise ArtifactError(
                f"{self} has {len(sizes):,} files of prompts, and at most {MOST_FILES:,} are downloaded"
            )
        if sum(sizes.values()) > LARGEST_DOWNLOAD:
            raise ArtifactError(
                f"{self} has {size(sum(sizes.values()))}, and at most {size(LARGEST_DOWNLOAD)} are downloaded; "
                f"download it by hf download {self.repository} --local-dir FOLDER, and load the folder"
            )


def is_artifact(name: str) -> bool:
    """Return whether a file of a repository can belong to a saved prompt.

    >>> [is_artifact(name) for name in ("prompt.json", "prompt-0/vectors.safetensors", "model.safetensors")]
    [True, True, False]
    """
    return any(fnmatchcase(name, pattern) for pattern in FILES)


@contextmanager
def explain_hub_errors(what: str, location: HubLocation) -> Iterator[None]:
    """Turn errors of huggingface_hub and of connections into ArtifactError, in one sentence with the fix.

    Args:
        what: the start of the message.
        location: the repository that is read or written.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, revision = location
    try:
        yield
    except SoftclozeError:
        raise
    except GatedRepoError as error:
        reason = f"{repository} is gated; accept its conditions on its page, and log in with: {_LOGIN}"
        raise ArtifactError(f"{what}: {reason}") from error
    except RepositoryNotFoundError as error:
        reason = (
            f"the hub has no repository {repository}, or it is private and this login may not read it; check the "
            f"name, or log in with: {_LOGIN}"
        )
        raise ArtifactError(f"{what}: {reason}") from error
    except RevisionNotFoundError as error:
        reason = (
            f"{repository} has no branch, tag or commit {quoted(revision)}; check it, or leave it out for the newest"
        )
        raise ArtifactError(f"{what}: {reason}") from error
    except HfHubHTTPError as error:
        raise ArtifactError(f"{what}: {_http_reason(error.response.status_code)}") from error
    except ValueError as error:  # of names, and of metadata that the hub does not take
        raise ArtifactError(f"{what}: {_first_line(error)}") from error
    except OfflineModeIsEnabled as error:
        reason = "it is not in the cache, and HF_HUB_OFFLINE=1 forbids to reach a hub; do this once without it"
        raise ArtifactError(f"{what}: {reason}") from error
    except Exception as error:  # several libraries' errors of connections
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            reason = f"the cache cannot be written: {error.filename}: {error.strerror}; set HF_HOME to another folder"
        else:
            storage = " or, if the hub has no Xet storage, set HF_HUB_DISABLE_XET=1" if "xet" in str(error) else ""
            reason = f"the hub cannot be reached: {_first_line(error)}; check the connection{storage}"
        raise ArtifactError(f"{what}: {reason}") from error


def _http_reason(status: int) -> str:
    if status in (401, 403):
        return f"the hub turns this login away (status {status}); log in with a token that may do this: {_LOGIN}"
    if status == 409 or status == 412:
        return f"somebody else changed the repository meanwhile (status {status}); try again"
    return f"the hub answered with an error (status {status}); try again later"


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
