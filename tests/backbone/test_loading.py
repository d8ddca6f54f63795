"""Loading by name, and fingerprints."""

import pytest
import torch
from support import models
from transformers import AutoModelForMaskedLM, AutoTokenizer

from softcloze.backbone import Backbone, load_backbone, load_tokenizer
from softcloze.errors import BackboneError, ParameterError, SoftclozeError
from softcloze.starters import fetch_model


@pytest.fixture
def folder(tmp_path):
    models.model("bert").save_pretrained(tmp_path)
    models.tokenizer("wordpiece").save_pretrained(tmp_path)
    return tmp_path


def test_asked_twice_the_same_backbone_is_shared(folder):
    one = load_backbone(str(folder), dtype="float32", device="cpu")
    assert load_backbone(str(folder), dtype="float32", device="cpu") is one
    assert load_backbone(one) is one
    assert one.name == str(folder)
    assert one.model.dtype == torch.float32


def test_a_loaded_backbone_is_the_one_that_was_saved(folder):
    loaded, made = load_backbone(str(folder), dtype="float32", device="cpu"), models.backbone("bert")
    assert loaded.family == "masked"
    assert loaded.fingerprint == made.fingerprint
    assert torch.equal(models.logits_of(loaded.model, [7, 8, 9]), models.logits_of(made.model, [7, 8, 9]))


def test_fingerprint_does_not_depend_on_precision(folder):
    full = load_backbone(str(folder), dtype="float32", device="cpu")
    half = load_backbone(str(folder), dtype="bfloat16", device="cpu")
    assert (full.model.dtype, half.model.dtype) == (torch.float32, torch.bfloat16)
    assert full is not half
    assert full.fingerprint == half.fingerprint


def test_fingerprint_of_a_real_model_does_not_depend_on_precision(bert_tiny):
    place = fetch_model("bert-tiny")
    half = AutoModelForMaskedLM.from_pretrained(place, dtype=torch.bfloat16)
    assert Backbone(half, AutoTokenizer.from_pretrained(place), "x").fingerprint == bert_tiny.fingerprint


def test_fingerprint_tells_models_and_tokenizers_apart():
    bert, other = models.new_backbone("bert"), models.new_backbone("bert", seed=1)
    assert other.fingerprint["model"] != bert.fingerprint["model"]
    assert other.fingerprint["tokenizer"] == bert.fingerprint["tokenizer"]
    extended = models.tokenizer("wordpiece")
    extended.add_tokens(["softcloze"])
    with_other_words = Backbone(bert.model, extended, "x")
    assert with_other_words.fingerprint["tokenizer"] != bert.fingerprint["tokenizer"]
    assert with_other_words.fingerprint["model"] == bert.fingerprint["model"]
    others = [name for name in models.ARCHITECTURES if name != "mistral"]  # drawn with the same weights as llama
    assert len({models.backbone(name).fingerprint["model"] for name in others}) == len(others)


def test_fingerprint_notices_training():
    backbone = models.new_backbone("bert")
    before = backbone.fingerprint
    with torch.no_grad():
        next(backbone.model.parameters()).mul_(1.5)
    assert Backbone(backbone.model, backbone.tokenizer, "x").fingerprint["model"] != before["model"]


def test_a_tokenizer_needs_no_weights(folder):
    (folder / "model.safetensors").unlink()
    tokenizer, family, limit = load_tokenizer(str(folder))
    assert (len(tokenizer), family, limit) == (len(models.borrowed("wordpiece")), "masked", 64)
    with pytest.raises(BackboneError, match="cannot load the model"):
        load_tokenizer(str(folder / "nothing"))


def test_a_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = str(tmp_path / "nothing")
    with pytest.raises(BackboneError, match="cannot load the model") as caught:
        load_backbone(place, device="cpu")
    assert place in str(caught.value)
    assert "starter:NAME" in str(caught.value)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(BackboneError, match="cannot load the model"):
        load_backbone(str(tmp_path), device="cpu")


def test_a_damaged_folder(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BackboneError, match="cannot load the model"):
        load_backbone(str(folder), device="cpu")


def test_an_unknown_starter():
    with pytest.raises(SoftclozeError, match="bert-tiny"):
        load_backbone("starter:bert-tinny", device="cpu")


@pytest.mark.parametrize("dtype", ["float31", "", "int8"])
def test_an_unknown_dtype(folder, dtype):
    expected = "'auto', 'float32', 'bfloat16' or 'float16'"
    with pytest.raises(ParameterError, match=f"dtype='{dtype}', but it has to be {expected}"):
        load_backbone(str(folder), dtype=dtype, device="cpu")


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x"])
def test_an_unknown_device(folder, device):
    with pytest.raises(ParameterError, match=f"device='{device}' is unknown"):
        load_backbone(str(folder), device=device)


def test_a_device_that_this_machine_lacks(folder):
    missing = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ParameterError, match=missing):
        load_backbone(str(folder), device=missing)


@pytest.mark.parametrize(("amx", "avx512"), [(False, False), (True, False), (False, True)])
def test_bfloat16_where_the_processor_multiplies_it(folder, monkeypatch, amx, avx512):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    expected = torch.bfloat16 if amx or avx512 else torch.float32
    assert load_backbone(str(folder), device="cpu").model.dtype == expected
    assert load_backbone(str(folder), dtype="float32", device="cpu").model.dtype == torch.float32
