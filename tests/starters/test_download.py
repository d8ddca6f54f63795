import dataclasses
import io
import subprocess
import sys
import zipfile

import pytest

from softcloze.errors import StarterError
from softcloze.starters import MODELS
from softcloze.starters.download import download, unpack

from .conftest import tarball


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def scratch(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


def starter(*packages):
    return dataclasses.replace(MODELS["bert-tiny"], packages=packages)


def test_a_wheel_is_fetched_and_a_member_read(shop, folder, scratch):
    package = shop.wheel("tiny", {"tiny/data.txt": b"hello"}, out=["tiny/data.txt"])
    unpack(starter(package), folder, scratch)
    assert (folder / "out").read_bytes() == b"hello"


def test_a_zip_within_a_wheel_and_a_member_in_a_folder(shop, folder, scratch):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("rows.tsv", "ähm")
    files = {"tiny/data.zip": inner.getvalue(), "tiny/1_Pooling/config.json": b"{}"}
    members = {"out": ["tiny/data.zip", "rows.tsv"], "1_Pooling/config.json": ["tiny/1_Pooling/config.json"]}
    unpack(starter(shop.wheel("tiny", files, **members)), folder, scratch)
    assert (folder / "out").read_text(encoding="utf-8") == "ähm"
    assert (folder / "1_Pooling" / "config.json").read_text() == "{}"


def test_a_source_archive_within_a_source_archive(shop, folder, scratch):
    inner = tarball({"inner/rows.txt": "ähm".encode()})
    package = shop.sdist("tiny", {"more/inner.tar.gz": inner}, out=["tiny-1.0/more/inner.tar.gz", "inner/rows.txt"])
    unpack(starter(package), folder, scratch)
    assert (folder / "out").read_text(encoding="utf-8") == "ähm"


def test_members_with_one_target_are_joined_in_order(shop, folder, scratch):
    packages = [
        shop.wheel(f"part{n}", {f"part{n}/data": f"<{n}>".encode()}, whole=[f"part{n}/data"]) for n in (1, 2, 3)
    ]
    lines = []
    unpack(starter(*packages), folder, scratch, lines.append)
    assert (folder / "whole").read_bytes() == b"<1><2><3>"
    assert lines == [f"fetching part{n}==1.0 (1 MB)" for n in (1, 2, 3)]
    assert not any(scratch.iterdir())


def test_a_wheel_with_another_checksum_is_refused(shop, folder):
    package = shop.wheel("tiny", {})
    wrong = dataclasses.replace(package, sha256="0" * 64)
    with pytest.raises(StarterError) as caught:
        download(wrong, folder)
    assert str(caught.value) == (
        "tiny-1.0-py3-none-any.whl has the wrong SHA-256 checksum\n"
        f"  expected: {'0' * 64}\n"
        f"  found:    {package.sha256}\n"
        "  the index served another or a damaged file: try again, or set PIP_INDEX_URL to another index"
    )


def test_no_code_of_a_source_archive_runs_unless_its_checksum_is_right(shop, folder):
    package = shop.sdist("tiny", {})
    with pytest.raises(StarterError, match=rf"found: +{package.sha256}"):
        download(dataclasses.replace(package, sha256="0" * 64), folder)
    assert not shop.witness.exists()
    download(package, folder)
    assert shop.witness.exists()  # so the witness does see pip running it


def test_a_package_that_the_index_does_not_have(shop, folder):
    package = shop.wheel("tiny", {})
    (shop.folder / package.file).unlink()
    with pytest.raises(StarterError) as caught:
        download(package, folder)
    message = str(caught.value)
    assert message.startswith("pip could not fetch tiny==1.0\n")
    assert "pip: ERROR: No matching distribution found for tiny==1.0" in message
    assert f"{sys.executable} -P -m pip download --no-deps --only-binary tiny tiny==1.0" in message
    assert "PIP_INDEX_URL" in message
    assert "PIP_FIND_LINKS" in message


def test_an_index_that_cannot_be_reached(shop, folder, monkeypatch):
    package = shop.wheel("tiny", {})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    for name, value in {"INDEX_URL": "http://127.0.0.1:9/simple", "RETRIES": "1", "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(StarterError, match=r"^pip could not reach a package index to fetch tiny==1\.0\n"):
        download(package, folder)


def test_a_python_without_pip(shop, tmp_path, folder, monkeypatch):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = next(path for path in (bare / "bin/python", bare / "Scripts/python.exe") if path.exists())
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(StarterError) as caught:
        download(shop.wheel("tiny", {}), folder)
    assert str(caught.value) == (
        f"tiny==1.0 is downloaded with pip, which {python} does not have\n  install it: {python} -m ensurepip"
    )


def test_a_python_that_does_not_know_its_executable(shop, folder, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(StarterError, match="cannot run pip"):
        download(shop.wheel("tiny", {}), folder)


def test_pip_fills_the_disk(shop, tmp_path, folder, monkeypatch):
    fake = tmp_path / "fake" / "pip"
    fake.mkdir(parents=True)
    (fake / "__init__.py").touch()
    (fake / "__main__.py").write_text(
        "raise SystemExit('ERROR: Could not install: [Errno 28] No space left on device')"
    )
    monkeypatch.setenv("PYTHONPATH", str(fake.parent))
    with pytest.raises(OSError, match="No space left") as caught:
        download(shop.wheel("tiny", {}), folder)
    assert caught.value.errno == 28


def test_a_pip_py_in_the_current_folder_is_not_taken_for_pip(shop, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "pip.py").write_text("raise SystemExit('not pip')")
    assert download(shop.wheel("tiny", {}), folder).exists()


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_member_that_is_not_there(shop, folder, scratch, kind):
    package = getattr(shop, kind)("tiny", {}, out=["tiny/none"])
    with pytest.raises(StarterError, match=rf"^{package.file} holds no file tiny/none$"):
        unpack(starter(package), folder, scratch)
