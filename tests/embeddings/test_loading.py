"""Errors about encoders that cannot be loaded, and about an encoder in the place of a language model."""

import json

import pytest
from safetensors.torch import load_file, save_file
from support import models

from softcloze import load_backbone
from softcloze.backbone import load_tokenizer
from softcloze.embeddings import load_encoder
from softcloze.errors import BackboneError, ParameterError

MODULES = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
POOLING = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
MEAN = {"pooling_mode_mean_tokens": True}


@pytest.fixture
def folder(tmp_path):
    """A tiny encoder in the format of sentence-transformers 2."""
    models.model("bert").base_model.save_pretrained(tmp_path)
    models.tokenizer("wordpiece").save_pretrained(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([*MODULES, POOLING]))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(MEAN))
    return tmp_path


def test_files_of_an_older_version(folder):
    encoder = load_encoder(folder)
    assert (encoder.pooling, encoder.normalise) == ("mean", False)
    assert load_encoder(str(folder)).network is encoder.network


@pytest.mark.parametrize(
    ("modules", "pooling", "message"),
    [
        ([*MODULES, POOLING, {"path": "2_Dense", "type": "a.Dense"}], MEAN, "lists Transformer, Pooling, Dense\n  exp"),
        ([], MEAN, "modules.json lists nothing"),
        ({}, MEAN, "modules.json lists nothing"),
        ("no list", MEAN, "its modules cannot be read: TypeError"),
        (
            [*MODULES, POOLING],
            {"pooling_mode_max_tokens": True},
            "its pooling is 'max_tokens'\n  expected one of mean,",
        ),
        ([*MODULES, POOLING], MEAN | {"pooling_mode_cls_token": True}, "its pooling is 'mean and cls'"),
        ([*MODULES, POOLING], {"pooling_mode": ["mean"]}, "its modules cannot be read"),
        ([*MODULES, POOLING], None, "its modules cannot be read"),
    ],
)
def test_modules_that_are_not_supported(folder, modules, pooling, message):
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(BackboneError, match=message):
        load_encoder(folder)


@pytest.mark.parametrize("limit", [0, "64", True])
def test_a_limit_that_is_none(folder, limit):
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": limit}))
    with pytest.raises(BackboneError, match=f"its max_seq_length is {limit!r}\n  expected an integer of at least 1"):
        load_encoder(folder)


def test_missing_weights_are_never_drawn_at_random(folder):
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "attention" in name)
    save_file({name: weight for name, weight in weights.items() if name != lost}, folder / "model.safetensors")
    with pytest.raises(BackboneError, match=f"random ones would take their place\n  missing: {lost}"):
        load_encoder(folder)


@pytest.mark.parametrize("wrong", [None, 3, b"starter:minilm-l6", ("a", "b"), [], models.tokenizer("wordpiece")])
def test_other_kinds_of_encoders(wrong):
    with pytest.raises(ParameterError, match=r"^encoder is .*; expected a name, a folder, a SentenceEncoder, or"):
        load_encoder(wrong)


@pytest.mark.parametrize("load", [load_backbone, load_tokenizer])
def test_the_encoder_is_no_language_model_and_is_not_fetched_for_one(load, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTCLOZE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(BackboneError) as caught:
        load("starter:minilm-l6")
    assert str(caught.value) == (
        "'starter:minilm-l6' is a sentence encoder: it turns texts into vectors and predicts no words, as a prompt "
        "needs\n"
        "  for a prompt take a language model: starter:bert-tiny, starter:smollm2-135m, starter:gemma3-270m\n"
        "  this one is for sentence embeddings: SentenceEmbeddingClassifier, or softcloze compare --baseline embeddings"
    )
    assert not (tmp_path / "empty").exists()
