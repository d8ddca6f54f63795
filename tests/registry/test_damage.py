"""What is damaged, altered, linked or left half done in a registry: errors that name it, and never another version."""

import json
import os
import re
import shutil
import time
from contextlib import suppress

import pytest

from softcloze.errors import ArtifactError, ParameterError, RegistryError, SoftclozeError
from softcloze.registry import store as stores
from softcloze.registry import versions


def in_reviews(registry, path):
    return registry.folder / "reviews" / path


def problems(registry):
    return [str(fault) for fault in registry.check()]


@pytest.mark.parametrize("name", ["prompt.json", "vectors.safetensors"])
@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"", lambda b: b[:-9] + b"\1" + b[-8:], None])
def test_a_damaged_version_is_neither_loaded_nor_promoted(filled, name, damage):
    file = in_reviews(filled, f"versions/1/{name}")
    content = file.read_bytes()
    file.unlink()
    if damage is not None:
        file.write_bytes(damage(content))
    for use in (
        lambda: filled.load("reviews@1"),
        lambda: filled.promote("reviews@1"),
        lambda: filled.promote("reviews@1", "canary", model_changed=True, labels_changed=True),
    ):
        with pytest.raises(ArtifactError, match=f"versions/1.*{name}"):
            use()
    assert filled.aliases("reviews") == {"live": 3}
    (problem,) = problems(filled)
    assert "versions/1" in problem and name in problem


def test_a_rollback_to_a_damaged_version(filled):
    in_reviews(filled, "versions/2/vectors.safetensors").unlink()
    with pytest.raises(ArtifactError, match="versions/2"):
        filled.rollback("reviews")
    assert filled.resolve("reviews").number == 3


def test_a_damaged_version_stops_no_new_one(filled, numbered):
    in_reviews(filled, "versions/3/prompt.json").write_text("{")
    assert filled.add(numbered(4), "reviews").number == 4
    assert filled.add(numbered(3), "reviews").number == 5  # the content of 3 is gone


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "3 3", "1\n2", "9" * 30, "../2", "\0", "³"])
def test_a_damaged_alias(filled, text):
    in_reviews(filled, "aliases/live").write_text(text, encoding="utf-8")
    for use in (
        lambda: filled.resolve("reviews"),
        lambda: filled.remove("reviews@1"),
        lambda: filled.promote("reviews@1"),
        lambda: filled.rollback("reviews"),
    ):
        with pytest.raises(ArtifactError, match=r"aliases/live is damaged.*expected the number of a version"):
            use()
    filled.state()
    assert filled.load("reviews@1").model == filled.load("reviews@2").model
    (problem,) = problems(filled)
    assert "aliases/live" in problem


def test_an_alias_of_a_version_that_is_gone(filled):
    shutil.rmtree(in_reviews(filled, "versions/3"))
    with pytest.raises(ArtifactError, match="aliases/live names a version that is gone: there is no version reviews@3"):
        filled.resolve("reviews")
    found = problems(filled)
    assert len(found) == 2 and "aliases/live" in found[0] and "history.jsonl: names the version 3" in found[1]
    filled.promote("reviews@2", model_changed=True, labels_changed=True)
    assert filled.resolve("reviews").number == 2


PLACES = ["", "versions", "versions/3", "versions/3/prompt.json", "aliases", "aliases/live", "history.jsonl"]


@pytest.mark.parametrize("place", PLACES)
def test_links_that_leave_the_registry_are_not_followed(filled, numbered, tmp_path, place):
    """Nothing is read through them, and nothing is written."""
    path = in_reviews(filled, place)
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    before = {file: file.read_bytes() for file in outside.rglob("*") if file.is_file()} or outside.read_bytes()
    for use in (
        lambda: filled.load("reviews"),
        lambda: filled.add(numbered(4), "reviews"),
        lambda: filled.promote("reviews@1"),
        lambda: filled.rollback("reviews"),
        lambda: filled.remove("reviews@2"),
        lambda: filled.history("reviews"),
        filled.names,
        filled.state,
    ):
        with suppress(SoftclozeError):
            use()
    assert before == (
        {file: file.read_bytes() for file in outside.rglob("*") if file.is_file()} or outside.read_bytes()
    )
    assert any(str(path) in problem and "link" in problem for problem in problems(filled))
    with pytest.raises(ArtifactError, match="link"):
        if place == "history.jsonl":
            filled.history("reviews")
        else:
            filled.load("reviews@3" if place.startswith("versions") else "reviews")


def test_a_registry_may_itself_be_a_link(filled, tmp_path):
    (tmp_path / "current").symlink_to(filled.folder)
    assert type(filled)(tmp_path / "current").resolve("reviews").number == 3


def test_other_files_are_not_in_the_way(filled, numbered):
    (filled.folder / "README.md").write_text("our prompts")
    (filled.folder / ".git").mkdir()
    (filled.folder / "scripts").mkdir()
    for folder in ("", "versions", "aliases"):
        in_reviews(filled, folder).joinpath(".DS_Store").write_text("x")
        in_reviews(filled, folder).joinpath(".gitkeep").write_text("")
    assert filled.add(numbered(4), "reviews").number == 4
    assert filled.names() == ("reviews",)
    assert filled.check() == ()
    assert set(filled.state()) == {"reviews@live"}


def test_every_fault_is_reported_with_its_path(filled):
    in_reviews(filled, "versions/1/prompt.json").unlink()
    in_reviews(filled, "versions/2/vectors.safetensors").write_bytes(b"x")
    for folder in ("versions/03", "versions/new", "../Topics/versions"):
        in_reviews(filled, folder).mkdir(parents=True)
    in_reviews(filled, "versions/4").write_text("x")
    in_reviews(filled, "aliases/canary").write_text("7\n")
    in_reviews(filled, "aliases/latest").write_text("1\n")
    with in_reviews(filled, "history.jsonl").open("a") as file:
        file.write('{"when": "now"}\n[1\n{"a": 1, "a": 2}\n')
    found = problems(filled)
    expected = [
        "Topics: 'Topics' cannot be the name of a prompt.*rename it to topics",
        "versions/03", "versions/1 is not a saved prompt: it has no prompt.json", "vectors.safetensors is truncated",
        "versions/4: is not the folder of a version", "versions/new", "aliases/canary names a version that is gone",
        "aliases/latest", "line 7 is no change: the change lacks", "line 8 is not JSON", "line 9 is not JSON",
    ]  # fmt: skip
    assert len(found) == len(expected)
    for problem, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, problem), problem


def test_a_history_that_is_cut_off_is_continued_on_a_line_of_its_own(filled):
    file = in_reviews(filled, "history.jsonl")
    file.write_bytes(file.read_bytes()[:-10])
    filled.promote("reviews@2")
    assert [change.after for change in filled.history("reviews")] == [1, 1, 2, 2, 3, 2]
    (problem,) = problems(filled)
    assert "history.jsonl" in problem and "line 6" in problem
    assert filled.rollback("reviews").number == 3
    with pytest.raises(ParameterError, match="promote one by its number"):
        filled.rollback("reviews")  # the line of its promotion is lost


def test_a_version_is_measured_before_it_is_read(filled, monkeypatch, numbered):
    monkeypatch.setattr(versions, "LARGEST", 100)
    for use in (lambda: filled.load("reviews"), lambda: filled.add(numbered(4), "reviews")):
        with pytest.raises(ArtifactError, match="a version has at most 100"):
            use()
    assert [version.number for version in filled.versions("reviews")] == [1, 2, 3]


def leftovers(registry):
    folders = (in_reviews(registry, name) for name in ("versions", "aliases"))
    return {path.name for folder in folders for path in folder.iterdir() if path.name.startswith(".")}


def test_leftovers_of_killed_writers_go_after_an_hour(filled, numbered):
    hour_ago = time.time() - 4000
    old = [in_reviews(filled, name) for name in ("versions/.draft-abcd1234", "aliases/.live-abcd1234")]
    new = in_reviews(filled, "versions/.draft-efgh5678")
    for folder in [*old, new]:
        folder.mkdir()
        (folder / "prompt.json").write_text("{")
    for folder in old:
        os.utime(folder, (hour_ago, hour_ago))
    mark = in_reviews(filled, "versions/1/removed.json")
    mark.write_text("{}")
    os.utime(mark, (hour_ago, hour_ago))
    assert filled.check() == ()
    filled.add(numbered(4), "reviews")
    assert leftovers(filled) == {new.name}
    assert [path.name for path in mark.parent.iterdir()] == [mark.name]


def test_nothing_is_left_of_an_addition_that_fails(filled, numbered, monkeypatch):
    monkeypatch.setattr(versions, "LARGEST", 100)
    with pytest.raises(ArtifactError):
        filled.add(numbered(4), "reviews")
    assert leftovers(filled) == set()


def test_the_state_is_read_while_files_are_half_written(filled):
    for name in ("aliases/.live-abcd1234", "aliases/later"):
        in_reviews(filled, name).mkdir()
    in_reviews(filled, "aliases/canary").write_text("")
    (filled.folder / "topics" / "aliases").mkdir(parents=True)
    (filled.folder / "other").write_text("")
    assert {"reviews@canary", "reviews@live"} <= set(filled.state())


def test_a_removal_that_meets_a_promotion_is_undone(filled, monkeypatch):
    """The alias moves after the first look at the aliases."""
    mark = stores.Store.mark_removed

    def moved_before(self, number, text):
        filled.promote("reviews@1")
        mark(self, number, text)

    monkeypatch.setattr(stores.Store, "mark_removed", moved_before)
    with pytest.raises(ParameterError, match="reviews@1 is what live names"):
        filled.remove("reviews@1")
    assert filled.load(str(filled.resolve("reviews"))) is not None


def test_a_promotion_that_meets_a_removal_is_undone(filled, monkeypatch):
    """The version is removed after it was checked, by a process that has not seen the alias move."""
    write = stores.Store.write_alias

    def removed_before(self, alias, number):
        if number == 1:
            self.mark_removed(1, json.dumps({}))
        write(self, alias, number)

    monkeypatch.setattr(stores.Store, "write_alias", removed_before)
    with pytest.raises(RegistryError, match="reviews@1 was removed"):
        filled.promote("reviews@1")
    assert filled.resolve("reviews").number == 3


@pytest.mark.parametrize("reference", ["reviews", "reviews@3"])
def test_a_version_that_is_removed_while_it_is_loaded(filled, monkeypatch, reference):
    """An alias gives the version that it names now; a number gives an error that says so."""
    read = versions.SavedCards.read

    def removed_before(path):
        monkeypatch.undo()
        filled.promote("reviews@1")
        filled.remove("reviews@3")
        return read(path)

    monkeypatch.setattr(versions.SavedCards, "read", removed_before)
    if reference == "reviews":
        assert filled.load("reviews").vectors["task"][0, 0] == 1
    else:
        with pytest.raises(RegistryError, match="reviews@3 was removed"):
            filled.load(reference)


def test_what_an_alias_names_is_there_while_its_removal_is_undone(filled):
    """As when a writer is killed between the mark and the look at an alias that another one moved."""
    mark = in_reviews(filled, "versions/3/removed.json")
    mark.write_text("{}")
    assert filled.load("reviews").vectors["task"][0, 0] == 3
    os.utime(mark, (1, 1))
    filled.promote("reviews@2", "canary")  # any change repairs it
    assert [version.number for version in filled.versions("reviews")] == [1, 2, 3]
    assert not mark.exists()


def test_an_alias_that_moves_while_it_is_resolved(filled, monkeypatch):
    version = stores.Store.version

    def moved_before(self, number):
        monkeypatch.undo()
        filled.promote("reviews@1")
        filled.remove("reviews@3")
        return version(self, number)

    monkeypatch.setattr(stores.Store, "version", moved_before)
    assert filled.resolve("reviews").number == 1
