"""Saving and loading of prompts: round trips, damaged files, and a save that fails."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from softcloze.demonstrations import FixedDemonstrations, NearestDemonstrations, Pool
from softcloze.errors import ArtifactError
from softcloze.prompt import CARD, Prompt
from softcloze.prompt.card import FORMAT
from softcloze.prompt.prompt import VECTORS
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer


@pytest.fixture
def prompt():
    return Prompt(
        template=Template("<soft*2 name=task> <text> 这句话表达了 <mask> 的情感<soft>"),
        verbalizer=Verbalizer({1: {"积极": 2, "好": 0.5}, 0: ["消极"]}, "max_log_prob", "byte", "left_to_right"),
        model="a/model",
        fingerprint={"model": "ab" * 32, "tokenizer": "cd" * 32},
        vectors={"task": torch.randn(2, 4), "#1": torch.randn(1, 4)},
        max_length=64,
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

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        replace(prompt, model="another").save(tmp_path / "p")
    assert Prompt.load(tmp_path / "p").model == "a/model"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


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
    monkeypatch.setattr("softcloze.prompt.card.FORMAT", FORMAT + 1)
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
