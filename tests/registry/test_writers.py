"""Processes that write one registry at once, and processes that are killed while they write."""

import random
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context

import pytest
import torch

from softcloze.errors import ParameterError, RegistryError
from softcloze.registry import Registry

FORK = get_context("fork")


def marked(prompt, number):
    """A prompt that is recognised by its vectors."""
    return replace(prompt, vectors={"task": torch.full_like(prompt.vectors["task"], number)})


def mark_of(prompt):
    return int(prompt.vectors["task"][0, 0].item())


def add_many(folder, prompt, first, count, results):
    registry = Registry(folder)
    results.put([(registry.add(marked(prompt, first + i), "reviews").number, first + i) for i in range(count)])


@pytest.mark.parametrize(("writers", "count"), [(4, 4), pytest.param(8, 50, marks=pytest.mark.slow)])
def test_writers_take_numbers_without_gap_or_loss(prompt, tmp_path, writers, count):
    results = FORK.SimpleQueue()
    arguments = [(tmp_path / "r", prompt, writer * count, count, results) for writer in range(writers)]
    processes = [FORK.Process(target=add_many, args=given) for given in arguments]
    for process in processes:
        process.start()
    added = [pair for _ in processes for pair in results.get()]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    registry = Registry(tmp_path / "r")
    assert [version.number for version in registry.versions("reviews")] == [*range(1, writers * count + 1)]
    assert {number: mark_of(registry.load(f"reviews@{number}")) for number, _ in added} == dict(added)
    assert sorted(change.after for change in registry.history("reviews")) == sorted(number for number, _ in added)
    assert registry.check() == ()
    assert not [path for path in (tmp_path / "r" / "reviews" / "versions").iterdir() if path.name.startswith(".")]


def test_writers_of_the_same_content_get_the_same_version(prompt, tmp_path):
    results = FORK.SimpleQueue()
    arguments = (tmp_path / "r", prompt, 0, 3, results)
    processes = [FORK.Process(target=add_many, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    added = {pair for _ in processes for pair in results.get()}
    for process in processes:
        process.join()
    assert len(added) == 3 and {number for number, _ in added} == {1, 2, 3}
    assert len(Registry(tmp_path / "r").history("reviews")) == 3


def change_at_random(folder, prompt, seed):
    """Add, promote, roll back and remove until killed."""
    dice, registry = random.Random(seed), Registry(folder)
    while True:
        with suppress(ParameterError, RegistryError):
            newest = registry.versions("reviews")[-1].number
            match dice.randrange(6):
                case 0 | 1:
                    registry.add(marked(prompt, dice.randrange(1, 2**20)), "reviews")
                case 2 | 3:
                    registry.promote(f"reviews@{dice.randint(1, newest)}", dice.choice(["live", "canary"]))
                case 4:
                    registry.rollback(f"reviews@{dice.choice(['live', 'canary'])}")
                case 5:
                    registry.remove(f"reviews@{dice.randint(1, newest)}")


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_any_moment(prompt, tmp_path, kills):
    """Each version is whole or absent, each alias names one, no number comes twice, and a reader sees no error."""
    registry, dice = Registry(tmp_path / "r"), random.Random(0)
    registry.promote(str(registry.add(marked(prompt, 1), "reviews")))
    seen = {}
    for kill in range(kills):
        process = FORK.Process(target=change_at_random, args=(registry.folder, prompt, kill))
        process.start()
        end = time.monotonic() + dice.uniform(0.01, 0.12)
        while time.monotonic() < end:
            registry.state()
            assert registry.load("reviews").template == prompt.template
        process.kill()
        process.join()
        assert registry.check() == ()
        for alias in registry.aliases("reviews"):
            assert registry.resolve(f"reviews@{alias}").path.is_dir()
        for version in registry.versions("reviews"):
            mark = mark_of(registry.load(str(version)))
            assert seen.setdefault(version.number, mark) == mark
    with suppress(ParameterError, RegistryError):  # the history is at its start, or the version before was removed
        registry.rollback("reviews")
    assert mark_of(registry.load(str(registry.add(marked(prompt, 2**20), "reviews")))) == 2**20


def test_versions_are_read_while_others_are_added_and_promoted(prompt, tmp_path):
    registry, results = Registry(tmp_path / "r"), FORK.SimpleQueue()
    registry.promote(str(registry.add(marked(prompt, 1000), "reviews")))
    process = FORK.Process(target=add_many, args=(registry.folder, prompt, 0, 8, results))
    process.start()
    while process.is_alive():
        for version in registry.versions("reviews"):
            assert registry.load(str(version)).template == prompt.template
        registry.promote(str(registry.versions("reviews")[-1]))
    assert len(results.get()) == 8
    assert registry.check() == ()


def test_a_reader_never_sees_an_alias_half_written(prompt, tmp_path):
    registry = Registry(tmp_path / "r")
    for number in (1, 2):
        registry.add(marked(prompt, number), "reviews")
    registry.promote("reviews@1")
    process = FORK.Process(target=swap, args=(registry.folder, 12))
    process.start()
    while process.is_alive():
        assert registry.resolve("reviews").number in (1, 2)
    process.join()
    assert process.exitcode == 0


def swap(folder, count):
    registry = Registry(folder)
    for i in range(count):
        registry.promote(f"reviews@{1 + i % 2}")
