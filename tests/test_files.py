"""Files and folders are replaced whole, and a place that cannot be written is told before any work."""

import errno
import os
from pathlib import Path

import pytest

from softcloze.errors import FileError
from softcloze.files import new_folder, replacing_file, validate_writable, write_text


def test_a_place_that_can_be_written_stays_as_it_was(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    before = sorted(tmp_path.rglob("*"))
    for path in ("file", "link", "new", "some/new/file", "n" * 255, "文" * 80):
        validate_writable(tmp_path / path)
    for path in ("folder", "new", "some/new/folder"):
        validate_writable(tmp_path / path, folder=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_takes_no_files_is_told(code, tmp_path, monkeypatch):
    """Nerogar/OneTrainer#168, ultralytics/ultralytics#14558: told after the training."""

    def failing(prefix, dir):
        raise OSError(code, os.strerror(code), dir)

    monkeypatch.setattr("tempfile.mkdtemp", failing)
    with pytest.raises(FileError) as caught:
        validate_writable(tmp_path / "missing" / "out.csv")
    assert str(caught.value) == f"cannot write {tmp_path}/missing/out.csv: {os.strerror(code)}"
    for writer in (replacing_file, new_folder):
        with pytest.raises(FileError, match=r"cannot write .*out\.csv"), writer(tmp_path / "out.csv"):
            pass


@pytest.mark.parametrize(
    ("path", "folder", "message"),
    [
        ("folder", False, "folder is a folder; name a file to write"),
        ("file", True, "file is a file; name a folder to write"),
        ("pipe", False, "pipe is a device or pipe; name a file to write"),
        ("file/out", False, "cannot write file/out: {here}/file is not a folder"),
        ("file/out", True, "cannot write file/out: {here}/file is not a folder"),
        ("n" * 256, False, f"cannot write {'n' * 256}: File name too long"),
    ],
)
def test_something_else_in_the_way(path, folder, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    os.mkfifo("pipe")
    with pytest.raises(FileError) as caught:
        validate_writable(Path(path), folder=folder)
    assert str(caught.value) == message.replace("{here}", str(tmp_path))


def test_a_link_keeps_pointing_at_the_file_that_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "elsewhere" / "text.txt")
    write_text(link, "很\ud83d\n")
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "text.txt").read_text(encoding="utf-8") == "很?\n"
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["text.txt"]


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileError, match=r"a\.txt: No space left on device"), replacing_file(path) as draft:
        draft.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert [(other.name, other.read_text()) for other in tmp_path.iterdir()] == [("a.txt", "old")]
