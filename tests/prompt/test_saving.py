"""Saving and loading of prompts: round trips, damaged files, and a save that fails."""

import json
import os
import shutil
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from softcloze.demonstrations import FixedDemonstrations, NearestDemonstrations, Pool
from softcloze.errors import ArtifactError, FileError
from softcloze.prompt import CARD, Prompt
from softcloze.prompt.folder import FORMAT
from softcloze.prompt.tensors import VECTORS
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer


@pytest.fixture
def prompt():
    return Prompt(
        template=Template("<soft*2 name=task> <text> 这句话表达了 <mask> 的情感<soft>"),
        verbalizer=Verbalizer({1: {"积极": 2, "好": 0.5}, 0: ["消极"]}, "max_log_prob", "byte", "left_to_right"),
        model="a/model",
        fingerprint={"quantisation": "none", "model": "ab" * 32, "tokenizer": "cd" * 32, "chat_template": "ef" * 32},
        vectors={"task": torch.randn(2, 4), "#1": torch.randn(1, 4)},
        max_length=64,
        chat_options={"date": "2026-07-26", "tools": [{"name": "词典"}]},
        training={"epochs": 3, "history": [{"epoch": 1, "loss": 0.5}]},
        metrics={"accuracy": 0.9},
    )


def test_every_attribute_is_restored(prompt, tmp_path):
    prompt.save(tmp_path / "p")
    loaded = Prompt.load(tmp_path / "p")
    assert replace(loaded, vectors={}) == replace(prompt, vectors={})
    assert loaded.verbalizer.labels == (0, 1)
    assert loaded.vectors.keys() == prompt.vectors.keys()
    assert all(torch.equal(loaded.vectors[key], prompt.vectors[key]) for key in prompt.vectors)


def test_a_prompt_is_printed_without_its_tensors(prompt):
    assert "<soft*2 name=task>" in str(prompt) and "tensor" not in str(prompt)


def test_labels_may_be_truth_values(prompt, tmp_path):
    truth = replace(prompt, verbalizer=Verbalizer({True: "好", False: "差"}))
    truth.save(tmp_path / "p")
    loaded = Prompt.load(tmp_path / "p").verbalizer
    assert loaded == truth.verbalizer and [type(label) for label in loaded.labels] == [bool, bool]


def test_the_folder_holds_two_small_files_and_no_pickle(prompt, tmp_path):
    prompt.save(tmp_path / "p")
    assert sorted(file.name for file in (tmp_path / "p").iterdir()) == sorted([CARD, VECTORS])
    assert sum(file.stat().st_size for file in (tmp_path / "p").iterdir()) < 4096
    assert "这句话表达了" in (tmp_path / "p" / CARD).read_text(encoding="utf-8")


def test_saving_again_replaces(prompt, tmp_path):
    prompt.save(tmp_path / "p")
    replace(prompt, model="another").save(tmp_path / "p")
    assert Prompt.load(tmp_path / "p").model == "another"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_folder_with_something_else_is_not_replaced(prompt, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="thesis already exists and is not a saved prompt"):
        prompt.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_failed_save_leaves_the_old_prompt(prompt, tmp_path, monkeypatch):
    prompt.save(tmp_path / "p")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        replace(prompt, model="another").save(tmp_path / "p")
    assert Prompt.load(tmp_path / "p").model == "a/model"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_other_files_in_the_folder_stay(prompt, tmp_path):
    folder = tmp_path / "p"
    prompt.save(folder)
    (folder / "precious.txt").write_text("years of work")
    (folder / "vectors-mine.safetensors").write_text("mine")
    for model in ("b", "c"):
        vectors = {key: vector + 1 for key, vector in prompt.vectors.items()}
        replace(prompt, model=model, vectors=vectors).save(folder)
        assert Prompt.load(folder).model == model
        assert (folder / "precious.txt").read_text() == "years of work"
        assert (folder / "vectors-mine.safetensors").read_text() == "mine"
        assert len(list(folder.iterdir())) == 4


def test_files_that_a_damaged_card_names_stay(prompt, tmp_path):
    prompt.save(tmp_path / "p")
    card = tmp_path / "p" / CARD
    card.write_bytes(card.read_bytes()[:100])
    prompt.save(tmp_path / "p")
    assert Prompt.load(tmp_path / "p").model == "a/model"
    assert (tmp_path / "p" / VECTORS).exists()


@pytest.mark.parametrize("text", ["{}", "", '{"prompt": "Write a poem"}'])
def test_a_card_of_another_tool_stays(prompt, tmp_path, text):
    (tmp_path / CARD).write_text(text)
    with pytest.raises(ArtifactError, match=rf"{CARD} was not written by softcloze; choose another path"):
        prompt.save(tmp_path)
    assert (tmp_path / CARD).read_text() == text


def test_values_of_numpy_are_saved_as_numbers(prompt, tmp_path):
    values = {"max_length": np.int64(64), "training": {"at": np.float32(0.5)}, "metrics": {"accuracy": np.float64(0.5)}}
    replace(prompt, **values).save(tmp_path / "p")
    loaded = Prompt.load(tmp_path / "p")
    assert (loaded.max_length, loaded.training, loaded.metrics) == (64, {"at": 0.5}, {"accuracy": 0.5})


@pytest.mark.parametrize("place", ["new", "a/new/folder", "empty", "link", ".", "with a space", "很好", "n" * 250])
def test_places_to_save(prompt, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    if place == ".":
        monkeypatch.chdir(tmp_path / "empty")
    for model in ("a", "b"):
        replace(prompt, model=model).save(place)
        assert Prompt.load(place).model == model
        assert len([*Path(place).iterdir()]) == 2
    assert (tmp_path / "link").is_symlink()
    if place not in (".", "link"):
        (tmp_path / place).rename(tmp_path / "moved")
        assert Prompt.load(tmp_path / "moved").model == "b"


def test_home_is_found(prompt, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    prompt.save("~/p")
    assert Prompt.load("~/p").model == Prompt.load(tmp_path / "p").model


def test_what_is_no_saved_prompt_is_said(prompt, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    (tmp_path / "ensemble").mkdir()
    (tmp_path / "ensemble" / "ensemble.json").touch()
    (tmp_path / "empty").mkdir()
    for name, reason in [
        ("missing", "there is no such folder"),
        ("file", "it is a file"),
        ("model", "it holds a model"),
        ("ensemble", r"it holds an ensemble, for PromptEnsemble\.load"),
        ("empty", r"it has no prompt\.json"),
        ("n" * 300, "there is no such folder"),
    ]:
        with pytest.raises(ArtifactError, match=f"{name} is not a saved prompt: {reason}"):
            Prompt.load(tmp_path / name)
    for path in (None, 5, b"p", "", "a\0b"):
        with pytest.raises(ArtifactError, match="expected the path of a folder, found"):
            Prompt.load(path)
        with pytest.raises(ArtifactError, match="expected the path of a folder, found"):
            prompt.save(path)


def test_places_that_cannot_be_written_are_told(prompt, tmp_path):
    """Nerogar/OneTrainer#168: a traceback at the end, and what was trained was lost."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere/at/all")
    with pytest.raises(ArtifactError, match="file already exists and is not a saved prompt"):
        prompt.save(tmp_path / "file")
    for place in ("file/p", "n" * 256):
        with pytest.raises(FileError, match=f"cannot write .*{place}"):
            prompt.save(tmp_path / place)
    with pytest.raises(FileError, match="cannot write /proc/p"):
        prompt.save("/proc/p")


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"accuracy": float("nan")}},
        {"training": {"at": object()}},
        {"vectors": {"task": torch.full((2, 4), torch.nan), "#1": torch.zeros(1, 4)}},
        {"vectors": {"task": torch.zeros(2, 4)}},
        {"fingerprint": {}},
        {"max_length": 0},
        {"chat_options": {"tokenize": True}},
        {"template": Template("a" * 100_000 + "<text> <mask>")},
    ],
    ids=lambda changes: str(*changes),
)
def test_a_prompt_that_could_not_be_loaded_is_not_saved(prompt, tmp_path, changes):
    prompt.save(tmp_path / "p")
    with pytest.raises(ArtifactError, match="cannot be saved"):
        replace(prompt, **changes).save(tmp_path / "p")
    assert Prompt.load(tmp_path / "p").model == "a/model"


def save_often(prompt, folder, count):
    for _ in range(count):
        prompt.save(folder)


def test_two_processes_that_save_at_once(prompt, tmp_path):
    vectors = {key: vector + 1 for key, vector in prompt.vectors.items()}
    prompts = [prompt, replace(prompt, model="b", vectors=vectors)]
    processes = [get_context("fork").Process(target=save_often, args=(p, tmp_path / "p", 30)) for p in prompts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    loaded = Prompt.load(tmp_path / "p")
    assert torch.equal(loaded.vectors["task"], prompts[loaded.model == "b"].vectors["task"])


@pytest.mark.parametrize("at", range(1, 10))
def test_interrupted_while_it_saves(prompt, tmp_path, monkeypatch, at):
    """After any of the calls that change files."""
    prompts = {
        "a/model": prompt,
        "b": replace(prompt, model="b", vectors={k: v + 1 for k, v in prompt.vectors.items()}),
    }
    prompt.save(tmp_path / "p")
    calls = []
    for owner, name in ((Path, "write_bytes"), (os, "fsync"), (Path, "replace"), (shutil, "rmtree")):
        function = getattr(owner, name)

        def interrupted(*arguments, function=function, **options):
            result = function(*arguments, **options)
            calls.append(1)
            if len(calls) == at:
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        prompts["b"].save(tmp_path / "p")
    monkeypatch.undo()
    loaded = Prompt.load(tmp_path / "p")
    assert torch.equal(loaded.vectors["task"], prompts[loaded.model].vectors["task"])
    assert len([*(tmp_path / "p").iterdir()]) == 2


def test_a_prompt_is_read_while_another_process_replaces_it(prompt, tmp_path):
    prompt.save(tmp_path / "p")
    prompts = [replace(prompt, vectors={k: v + i for k, v in prompt.vectors.items()}, model=str(i)) for i in range(2)]
    processes = [get_context("fork").Process(target=save_often, args=(p, tmp_path / "p", 150)) for p in prompts]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        loaded = Prompt.load(tmp_path / "p")
        if loaded.model != "a/model":
            assert torch.equal(loaded.vectors["task"], prompts[int(loaded.model)].vectors["task"])
    assert [process.exitcode for process in processes] == [0, 0]


def test_killed_while_it_saves(prompt, tmp_path):
    vectors = {key: vector + 1 for key, vector in prompt.vectors.items()}
    prompts = {"a/model": prompt, "b": replace(prompt, model="b", vectors=vectors)}
    prompt.save(tmp_path / "p")
    for delay in np.linspace(0, 0.03, 15):
        process = get_context("fork").Process(target=save_often, args=(prompts["b"], tmp_path / "p", 3))
        process.start()
        time.sleep(delay)
        process.kill()
        process.join()
        loaded = Prompt.load(tmp_path / "p")
        assert torch.equal(loaded.vectors["task"], prompts[loaded.model].vectors["task"])
        prompt.save(tmp_path / "p")


@pytest.mark.parametrize("name", [CARD, VECTORS])
def test_a_truncated_file_is_named(prompt, tmp_path, name):
    prompt.save(tmp_path / "p")
    file = tmp_path / "p" / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=name):
        Prompt.load(tmp_path / "p")


@pytest.mark.parametrize("name", [CARD, VECTORS])
def test_a_missing_file_is_named(prompt, tmp_path, name):
    prompt.save(tmp_path / "p")
    (tmp_path / "p" / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        Prompt.load(tmp_path / "p")


def test_an_altered_vector_raises(prompt, tmp_path):
    prompt.save(tmp_path / "p")
    file = tmp_path / "p" / VECTORS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{VECTORS} is truncated or altered"):
        Prompt.load(tmp_path / "p")


def test_an_altered_card_raises(prompt, tmp_path):
    prompt.save(tmp_path / "p")
    file = tmp_path / "p" / CARD
    file.write_text(file.read_text(encoding="utf-8").replace("消极", "积压"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"{CARD} was altered"):
        Prompt.load(tmp_path / "p")


@pytest.mark.parametrize("content", ["[]", "{}", '"text"', "null", "{", ""])
def test_a_damaged_card_is_named(prompt, tmp_path, content):
    prompt.save(tmp_path / "p")
    (tmp_path / "p" / CARD).write_text(content)
    with pytest.raises(ArtifactError, match=CARD):
        Prompt.load(tmp_path / "p")


def test_a_later_format_raises(prompt, tmp_path, monkeypatch):
    monkeypatch.setattr("softcloze.prompt.folder.FORMAT", FORMAT + 1)
    prompt.save(tmp_path / "p")
    assert json.loads((tmp_path / "p" / CARD).read_text())["format"] == FORMAT + 1
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match=f"has format {FORMAT + 1}"):
        Prompt.load(tmp_path / "p")


POOL = Pool(
    ({"text": "很好 </s>", "stars": [5, None]}, {"text": 'a "dull" film\n', "stars": []}), (1, 0), ("消极", "积极")
)


def test_fixed_demonstrations_are_restored(prompt, tmp_path):
    shown = replace(prompt, demonstrations=FixedDemonstrations(POOL))
    shown.save(tmp_path / "p")
    assert Prompt.load(tmp_path / "p").demonstrations == shown.demonstrations


def test_the_pool_and_its_vectors_are_restored(prompt, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    replace(prompt, demonstrations=NearestDemonstrations(POOL, 2, vectors)).save(tmp_path / "p")
    loaded = Prompt.load(tmp_path / "p")
    assert (loaded.demonstrations.pool, loaded.demonstrations.count) == (POOL, 2)
    np.testing.assert_array_equal(loaded.demonstrations.vectors, vectors)
    assert loaded.vectors.keys() == prompt.vectors.keys()
    assert load_file(tmp_path / "p" / VECTORS).keys() > prompt.vectors.keys()


def test_labels_are_saved_instead_of_their_indices(prompt, tmp_path):
    replace(prompt, demonstrations=FixedDemonstrations(POOL)).save(tmp_path / "p")
    card = json.loads((tmp_path / "p" / CARD).read_text(encoding="utf-8"))
    assert card["demonstrations"] == {
        "method": "random",
        "examples": [{"label": 1, "values": POOL.values[0]}, {"label": 0, "values": POOL.values[1]}],
    }
