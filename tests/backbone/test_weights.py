"""Weights are complete, of the right shapes, finite, and enough for the tokenizer; else no model is taken."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from support import models

from softcloze.backbone import Backbone, load_backbone
from softcloze.errors import BackboneError, TokenizerError


def saved(folder, kind, architecture, **options):
    """A checkpoint of another kind of model than the language model of this architecture."""
    config = copy.deepcopy(models.model(architecture).config)
    config.update(options)
    getattr(hf, kind)(config).save_pretrained(folder)
    models.tokenizer((models.ARCHITECTURES | models.SEQ2SEQ)[architecture]).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return saved(tmp_path, "BertForMaskedLM", "bert")


@pytest.mark.parametrize(
    ("kind", "architecture", "missing", "description"),
    [
        ("BertForSequenceClassification", "bert", "cls.predictions", "a classifier"),
        ("BertForTokenClassification", "bert", "cls.predictions", "a token classifier"),
        ("BertForQuestionAnswering", "bert", "cls.predictions", "a model for question answering"),
        ("BertModel", "bert", "cls.predictions", "a model without a language-model head"),
        ("DebertaV2ForSequenceClassification", "deberta-v2", "cls.predictions", "a classifier"),
        ("LlamaForSequenceClassification", "llama", "lm_head.weight", "a classifier"),
        ("LlamaModel", "llama", "lm_head.weight", "a model without a language-model head"),
    ],
)
def test_a_checkpoint_without_a_language_model_head(tmp_path, capfd, kind, architecture, missing, description):
    """huggingface/transformers#5421, #20797"""
    folder = saved(tmp_path, kind, architecture, tie_word_embeddings=architecture != "llama")
    with pytest.raises(BackboneError) as caught:
        load_backbone(folder, device="cpu")
    assert "its files lack weights of" in str(caught.value)
    assert f"missing: {missing}" in str(caught.value)
    assert f"the checkpoint was saved from {kind}, {description}; take the pretrained language model" in str(
        caught.value
    )
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_a_sentence_transformer(tmp_path):
    saved(tmp_path, "BertModel", "bert")
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(BackboneError, match="a sentence-transformers model, without a language-model head"):
        load_backbone(tmp_path, device="cpu")


def test_an_encoder_alone(tmp_path):
    saved(tmp_path, "T5EncoderModel", "t5")
    with pytest.raises(BackboneError, match=r"'t5' \(saved from T5EncoderModel\) is not a masked, causal or seq2seq"):
        load_backbone(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [("LlamaModel", "llama"), ("GPT2Model", "gpt2"), ("BartModel", "bart"), ("BertForPreTraining", "bert")],
)
def test_tied_weights_come_from_their_twin(tmp_path, kind, architecture):
    """Checkpoints of the base model are complete where the head is tied, as that of GPT-2 on the hub."""
    folder = saved(tmp_path, kind, architecture, tie_word_embeddings=True)
    one, two = (load_backbone(folder, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert one is not two
    assert one.fingerprint == two.fingerprint


def test_a_layer_that_is_missing(folder):
    """huggingface/transformers#8887"""
    path = folder / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(path).items() if "layer.1." not in name}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"missing: bert\.encoder\.layer\.1\..*\n  layers are missing"):
        load_backbone(folder, device="cpu")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"vocab_size": 50}, r"its weights do not fit its config.json: bert\.embeddings\.word_embeddings\.weight"),
        ({"hidden_size": 64}, "its weights do not fit its config.json"),
        ({"num_hidden_layers": 1}, r"hold layers beyond those of its config.json: bert\.encoder\.layer\.1\n"),
        ({"num_hidden_layers": 3}, r"missing: bert\.encoder\.layer\.2\."),
    ],
)
def test_a_configuration_of_other_sizes(folder, entry, problem):
    """huggingface/peft#2415"""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    with pytest.raises(BackboneError, match=problem):
        load_backbone(folder, device="cpu")


def test_weights_that_are_not_finite_are_named(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "bert.encoder.layer.1.output.dense.weight"
    weights[name][0, 0] = 1e6
    save_file(weights, path, metadata={"format": "pt"})
    assert load_backbone(folder, device="cpu", dtype="float32").family == "masked"
    with pytest.raises(BackboneError, match=rf"not finite: {name}\n  float16 ends at 65504: load it in bfloat16"):
        load_backbone(folder, device="cpu", dtype="float16")
    weights[name][0, 0] = torch.nan
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=rf"weights of BertForMaskedLM are not finite: {name}\n"):
        load_backbone(folder, device="cpu")


def test_tokens_beyond_the_embeddings():
    """huggingface/transformers#12763, mickeysjm/R-BERT#5"""
    model, tokenizer = models.model("bert"), models.tokenizer("wordpiece")
    tokenizer.add_tokens([f"brandnew{i}" for i in range(20)])
    rows, last = len(model.get_input_embeddings().weight), max(tokenizer.get_vocab().values())
    with pytest.raises(BackboneError) as caught:
        Backbone(model, tokenizer, "x")
    assert f"tokens up to id {last} ('brandnew19'), and BertForMaskedLM has {rows} input" in str(caught.value)
    assert f"model.resize_token_embeddings({last + 1})" in str(caught.value)
    model.resize_token_embeddings(last + 1)
    assert Backbone(model, tokenizer, "x").family == "masked"


def test_special_tokens_that_are_not_in_the_vocabulary():
    """keras-team/keras-hub#721"""
    tokenizer = models.tokenizer("wordpiece")
    tokenizer.mask_token = "<M>"
    with pytest.raises(TokenizerError, match="the mask token '<M>' is not in the vocabulary"):
        Backbone(models.model("bert"), tokenizer, "x")
    tokenizer = models.tokenizer("wordpiece")
    tokenizer.sep_token = "<S>"
    backbone = Backbone(models.model("bert"), tokenizer, "x")
    with pytest.raises(TokenizerError, match="no sep token"):
        backbone.prompt_tokenizer.special("sep")


@pytest.mark.parametrize("kind", ["ByT5Tokenizer", "CanineTokenizer"])
def test_a_tokenizer_of_which_there_is_no_fast_version(kind):
    """nikitakit/self-attentive-parser#82"""
    with pytest.raises(TokenizerError, match=f"{kind} .*; there is no fast version of this kind"):
        Backbone(models.model("t5"), getattr(hf, kind)(), "x")


@pytest.mark.parametrize(("model", "tokenizer"), [("bert", None), ("bert", "name"), (None, "wordpiece")])
def test_things_that_are_no_model_or_tokenizer(model, tokenizer):
    made = models.model(model) if model else models.tokenizer("wordpiece")
    with pytest.raises((BackboneError, TokenizerError), match=r"expected (a transformers model|one of transformers)"):
        Backbone(made, tokenizer, "x")


@pytest.mark.parametrize("name", [None, "", Path("bert")])
def test_a_name_that_no_prompt_can_refer_to(name):
    with pytest.raises(BackboneError, match="expected the name that saved prompts refer to"):
        Backbone(models.model("bert"), models.tokenizer("wordpiece"), name)


def test_a_folder_of_links(folder, tmp_path_factory):
    links = tmp_path_factory.mktemp("links")
    for file in folder.iterdir():
        (links / file.name).symlink_to(file)
    first = load_backbone(links, device="cpu")
    shutil.copy(saved(Path(tmp_path_factory.mktemp("other")), "BertForMaskedLM", "bert") / "model.safetensors", folder)
    assert load_backbone(links, device="cpu") is not first
