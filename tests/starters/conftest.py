"""Packages made on the spot, and a pip that finds them and nothing else: real archives, no network."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from softcloze.starters import Package

# A build backend inside the archive: pip reads its metadata without fetching setuptools.
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
_BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    Path({witness!r}).touch()
    info = Path(folder, "{name}-{version}.dist-info")
    info.mkdir()
    Path(info, "METADATA").write_text("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return info.name

def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise RuntimeError("nobody should build this")
"""


class Shop:
    """A folder that pip takes for the only index."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.witness = folder.with_name("backend-ran")  # appears when pip runs code of a source archive

    def wheel(self, name: str, files: dict[str, bytes], version: str = "1.0", **members: list[str]) -> Package:
        info = f"{name}-{version}.dist-info"
        about = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        path = self.folder / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in (files | about).items():
                archive.writestr(member, content)
        return self._package(name, version, path, members)

    def sdist(self, name: str, files: dict[str, bytes], version: str = "1.0", **members: list[str]) -> Package:
        about = {
            "pyproject.toml": _PROJECT.encode(),
            "backend.py": _BACKEND.format(witness=str(self.witness), name=name, version=version).encode(),
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        }
        path = self.folder / f"{name}-{version}.tar.gz"
        path.write_bytes(tarball({f"{name}-{version}/{member}": data for member, data in (files | about).items()}))
        return self._package(name, version, path, members)

    def _package(self, name: str, version: str, path: Path, members: dict[str, list[str]]) -> Package:
        content = path.read_bytes()
        return Package(name, version, path.name, hashlib.sha256(content).hexdigest(), len(content), members)


def tarball(files: dict[str, bytes]) -> bytes:
    """A `.tar.gz` of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member, content in files.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def shop(tmp_path, monkeypatch):
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Shop(folder)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder in place of the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOFTCLOZE_CACHE", str(folder))
    return folder
