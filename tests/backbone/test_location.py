"""Names, paths and files of models: each opens, or raises one error that names what was found, at once."""

import json
import re
import shutil
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from huggingface_hub import errors
from support import models
from transformers import ViTConfig

from softcloze.backbone import load_backbone, load_tokenizer
from softcloze.errors import BackboneError
from softcloze.starters import MODELS, fetch_model

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 34705\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    models.model("bert").save_pretrained(folder)
    models.tokenizer("wordpiece").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "model"))


def edit_config(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def refused(model, *parts):
    """The error with which a model is refused, by its weights and by its tokenizer alone; it has these parts."""
    for load in (lambda: load_backbone(model, device="cpu"), lambda: load_tokenizer(model)):
        with pytest.raises(BackboneError) as caught:
            load()
        for part in (f"cannot load the model {str(model)!r}: ", *parts):
            assert part in str(caught.value)


def test_a_path_is_a_folder(folder):
    """huggingface/transformers#2120"""
    assert load_backbone(folder, device="cpu") is load_backbone(str(folder), device="cpu")
    assert load_backbone(folder, device="cpu").name == str(folder)
    assert load_tokenizer(folder)[1:] == ("masked", 64)


def test_a_home_folder_is_opened(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_backbone("~/model", device="cpu").family == "masked"


def test_the_position_of_the_first_token_counts_without_weights(tmp_path):
    models.model("roberta").save_pretrained(tmp_path)
    tokenizer = models.tokenizer("roberta")
    tokenizer.model_max_length = 10**30
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)[2] == load_backbone(tmp_path, device="cpu").max_length == 64


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "the name is empty"),
        ("./nomodel", "there is no folder {cwd}/nomodel"),
        ("nomodel/", "there is no folder {cwd}/nomodel"),
        ("/data/no-such-folder", "there is no folder /data/no-such-folder"),
        ("~/no-such-folder", "there is no folder {home}/no-such-folder"),
        ("/data/x.gguf", "there is no file /data/x.gguf"),
        ("bert base", "there is no folder {cwd}/bert base"),
        ("a\0b", "there is no folder"),
        ("x" * 5000, "File name too long"),
        ("in memory: BertForMaskedLM", "it was given in memory"),
    ],
)
def test_a_folder_that_is_not_there_needs_no_hub(name, problem, monkeypatch, tmp_path):
    """huggingface/transformers#3962"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", pytest.fail)
    refused(name, problem.format(cwd=tmp_path, home=Path.home()))


@pytest.mark.parametrize(
    ("name", "hint"), [("bert-base-uncasd", ""), ("bert-tiny", "; did you mean 'starter:bert-tiny'?")]
)
def test_a_misspelt_name_does_not_wait_for_a_hub_out_of_reach(name, hint, monkeypatch):
    calls = []

    def unreachable(*args, **kwargs):
        calls.append(args)
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    with pytest.raises(BackboneError) as caught:
        load_backbone(name, device="cpu")
    assert f"there is no folder and no downloaded model of this name{hint}\n" in str(caught.value)
    assert "the hub cannot be reached: no network" in str(caught.value)
    assert len(calls) == 1


def test_a_downloaded_model_needs_no_hub(saved, monkeypatch):
    """The cache of the hub is read as the folder that it is, whatever transformers would still look up."""

    def unreachable(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: str(saved / file))
    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", pytest.fail)
    backbone = load_backbone("tiny/bert", device="cpu")
    assert (backbone.name, backbone.fingerprint) == ("tiny/bert", models.backbone("bert").fingerprint)
    assert load_tokenizer("tiny/bert")[1:] == ("masked", 64)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        ("RepositoryNotFoundError", "there is neither a folder nor a model on the hub of this name"),
        ("RemoteEntryNotFoundError", "it has no config.json on the hub"),
        ("GatedRepoError", "it needs a login"),
    ],
)
def test_a_hub_without_the_model(error, problem, monkeypatch):
    def answer(*args, **kwargs):
        raise getattr(errors, error)("404", response=MagicMock())

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", answer)
    refused("tiny/no-model", problem)


def test_a_file_and_folders_without_a_model(folder, tmp_path):
    refused(folder / "config.json", "is a file; give its folder")
    refused(tmp_path, f"{tmp_path} holds no config.json, but {folder} does")
    other = tmp_path / "other"
    other.mkdir()
    refused(other, "it is empty")
    (other / "prompt.json").touch()
    refused(other, "is a saved prompt: open it with PromptClassifier.load")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "config.json is not JSON"),
        ("{", "config.json is not JSON"),
        ("[]", "config.json does not hold an object"),
        ("{}", "its config.json has the model_type None"),
        ('{"model_type": 3}', "its config.json has the model_type 3"),
        ('{"model_type": "brt"}', "its configuration cannot be read: The checkpoint you are trying to load has model"),
        ('{"model_type": "bert", "hidden_size": "x"}', "its configuration cannot be read: "),
    ],
)
def test_a_configuration_that_is_none(folder, content, problem):
    (folder / "config.json").write_text(content)
    refused(folder, problem)


def test_a_model_without_words(tmp_path):
    ViTConfig(architectures=["ViTForImageClassification"]).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"type 'vit' \(saved from ViTForImageClassification\) is not a masked"):
        load_backbone(tmp_path, device="cpu")


@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2", "llama", "t5"])
def test_a_folder_without_a_tokenizer(architecture, tmp_path):
    """huggingface/transformers#12536"""
    models.model(architecture).save_pretrained(tmp_path)
    refused(tmp_path, "it has no tokenizer, or an empty one", "tokenizer.save_pretrained")


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"])
def test_a_pointer_of_git_lfs(folder, file):
    (folder / file).write_bytes(POINTER)
    refused(folder, f"{folder / file} is a pointer of Git LFS", f"run git lfs pull in {folder}")


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"junk", b"[]", b"{"])
def test_a_damaged_tokenizer(folder, file, content):
    (folder / file).write_bytes(content)
    refused(folder, "its tokenizer cannot be read: ")


class _Opened:
    def __reduce__(self):
        return Path.touch, (Path("opened"),)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("damage", ["header", "truncated", "empty", "junk in .bin", "code in .bin"])
def test_damaged_weights(folder, damage, monkeypatch):
    monkeypatch.chdir(folder)
    weights, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    match damage:
        case "header":
            weights.write_bytes(b"junk")
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "empty":
            weights.write_bytes(b"")
        case "junk in .bin":
            weights.unlink()
            pickled.write_bytes(b"junkjunkjunk")
        case "code in .bin":
            weights.unlink()
            torch.save({"x": _Opened()}, pickled)
    with pytest.raises(BackboneError, match=r"cannot load the model .*: its weights cannot be read: "):
        load_backbone(folder, device="cpu")
    assert not Path("opened").exists()


def test_a_shard_that_is_missing(tmp_path):
    models.model("bert").save_pretrained(tmp_path, max_shard_size="20KB")
    models.tokenizer("wordpiece").save_pretrained(tmp_path)
    assert load_backbone(tmp_path, device="cpu").family == "masked"
    shard = sorted(tmp_path.glob("model-0000*"))[1]
    shard.unlink()
    with pytest.raises(BackboneError, match=rf"its weights cannot be read: .*{shard.name}"):
        load_backbone(tmp_path, device="cpu")


def test_code_of_a_model_is_never_run(folder, monkeypatch):
    """jhc13/taggui#45, hiyouga/LlamaFactory#4027"""
    monkeypatch.setattr("builtins.input", pytest.fail)
    edit_config(folder, model_type="mine", auto_map={"AutoConfig": "c.C", "AutoModelForMaskedLM": "c.M"})
    (folder / "c.py").write_text("raise SystemExit('ran')")
    refused(folder, "it has Python code of its own (auto_map in its configuration), which softcloze never runs")


def test_a_peft_adapter_is_no_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2"}')
    refused(tmp_path, "the folder holds a PEFT adapter of 'gpt2', and not a model", "merge_and_unload()")


@pytest.mark.parametrize("content", [b"hello", b"GGUF" + bytes(100), POINTER])
def test_a_gguf_file_that_is_none(tmp_path, content):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    refused(path)


def test_a_gguf_file_of_billions_of_layers_takes_no_memory(tmp_path):
    numbers = (3).to_bytes(4, "little") + (1).to_bytes(8, "little") * 2  # version, tensors, entries
    entry = (17).to_bytes(8, "little") + b"llama.block_count" + b"\4\0\0\0" + b"\1\0\0\xff"
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + numbers + entry)
    refused(path, "its header is damaged: it names 4,278,190,081 layers and 1 tensors")


def test_a_damaged_starter_says_how_to_fetch_it_again(tmp_path, monkeypatch):
    cached = fetch_model("bert-tiny")
    monkeypatch.setenv("SOFTCLOZE_CACHE", str(tmp_path))
    copied = Path(shutil.copytree(cached, MODELS["bert-tiny"].folder))
    (copied / "model.safetensors").write_bytes(b"half")
    with pytest.raises(BackboneError, match=re.escape("softcloze.starters.remove('bert-tiny')")):
        load_backbone("starter:bert-tiny", device="cpu")


def test_changed_weights_are_loaded_anew(folder):
    """Saving a model in the folder of another one replaces it, also within one process."""
    before = load_backbone(folder, device="cpu")
    models.new_backbone("bert", seed=1).model.save_pretrained(folder)
    after = load_backbone(folder, device="cpu")
    assert after.fingerprint != before.fingerprint
    assert load_backbone(folder, device="cpu") is after


def test_a_relative_path_means_the_current_folder(tmp_path, monkeypatch):
    for architecture in ("gpt2", "llama"):
        folder = tmp_path / architecture / "model"
        models.model(architecture).save_pretrained(folder)
        models.tokenizer(models.CAUSAL[architecture]).save_pretrained(folder)
    for architecture in ("gpt2", "llama"):
        monkeypatch.chdir(tmp_path / architecture)
        backbone = load_backbone("./model", device="cpu")
        assert backbone.model.config.model_type == architecture
        assert backbone.name == "./model"
