import errno
import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest

from softcloze.errors import StarterError
from softcloze.files import cache_dir
from softcloze.starters.cache import build


def write(ready, scratch):
    (ready / "file").write_text("whole")


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_chosen_folder_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTCLOZE_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_dir() == tmp_path


def test_the_chosen_folder_may_be_under_home(monkeypatch):
    monkeypatch.setenv("SOFTCLOZE_CACHE", "~/starters")
    assert cache_dir() == Path.home() / "starters"


@pytest.mark.parametrize(
    ("platform", "xdg", "expected"),
    [
        ("linux", "/xdg", "/xdg/softcloze"),
        ("linux", "relative/is/ignored", "/home/me/.cache/softcloze"),
        ("linux", "", "/home/me/.cache/softcloze"),
        ("darwin", "", "/home/me/Library/Caches/softcloze"),
        ("win32", "", "/home/me/AppData/Local/softcloze"),
    ],
)
def test_the_platforms_own_folder(monkeypatch, platform, xdg, expected):
    monkeypatch.delenv("SOFTCLOZE_CACHE", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache_dir() == Path(expected)


def test_a_folder_is_built_once(tmp_path):
    target = tmp_path / "models" / "tiny"
    assert build(target, write, needed=1) == target
    assert (target / "file").read_text() == "whole"
    assert build(target, pytest.fail, needed=1) == target
    assert entries(target.parent) == ["tiny"]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_nothing_half_written_stays(tmp_path, error):
    def fail(ready, scratch):
        write(ready, scratch)
        raise error

    with pytest.raises(type(error)):
        build(tmp_path / "tiny", fail, needed=1)
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),  # as safetensors has it
    ],
)
def test_a_disk_that_fills_up(tmp_path, error):
    def fail(ready, scratch):
        raise error

    with pytest.raises(StarterError) as caught:
        build(tmp_path / "tiny", fail, needed=1_500_000_000)
    assert str(caught.value) == (
        "the disk is too full to build the starter 'tiny'\n"
        f"  needed: 1,500 MB while it is built, in {tmp_path}\n"
        "  free some space, or set SOFTCLOZE_CACHE to a folder on a larger disk"
    )
    assert entries(tmp_path) == []


def test_a_disk_that_is_too_small_is_noticed_before_the_work(tmp_path):
    with pytest.raises(StarterError, match="too full"):
        build(tmp_path / "tiny", pytest.fail, needed=10**18)


def test_a_cache_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StarterError) as caught:
        build(tmp_path / "file" / "models" / "tiny", write, needed=1)
    assert str(caught.value).startswith(f"cannot write to the cache folder {tmp_path / 'file' / 'models'}: ")
    assert "SOFTCLOZE_CACHE" in str(caught.value)


def test_the_slower_of_two_takes_what_the_faster_made(tmp_path):
    target = tmp_path / "tiny"

    def overtaken(ready, scratch):
        write(ready, scratch)
        build(target, lambda ready, scratch: (ready / "file").write_text("the other's"), needed=1)

    build(target, overtaken, needed=1)
    assert (target / "file").read_text() == "the other's"
    assert entries(tmp_path) == ["tiny"]


def _build_slowly(target, barrier):
    def fill(ready, scratch):
        barrier.wait(timeout=60)  # both are at work now
        write(ready, scratch)

    build(target, fill, needed=1)


def test_two_processes_at_once_both_end_well(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    target = tmp_path / "tiny"
    workers = [spawn.Process(target=_build_slowly, args=(target, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert entries(tmp_path) == ["tiny"]
    assert (target / "file").read_text() == "whole"


def test_what_a_killed_run_left_is_ignored_and_swept_after_a_day(tmp_path):
    fresh, stale = tmp_path / ".partial-fresh", tmp_path / ".partial-stale"
    for left in (fresh, stale):
        (left / "ready").mkdir(parents=True)
    two_days_ago = time.time() - 2 * 24 * 60 * 60
    os.utime(stale, (two_days_ago, two_days_ago))
    build(tmp_path / "tiny", write, needed=1)
    assert entries(tmp_path) == [".partial-fresh", "tiny"]
