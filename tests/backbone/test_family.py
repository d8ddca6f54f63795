"""Families of models."""

import pytest
import torch
from support import models
from transformers import AutoModel, ViTConfig

from softcloze.backbone import Backbone
from softcloze.backbone.family import family_of
from softcloze.errors import BackboneError, SoftclozeError


def test_family(architecture):
    assert models.backbone(architecture).family == ("masked" if architecture in models.MASKED else "causal")


def test_an_unused_mask_token_makes_no_masked_model():
    tokenizer = models.tokenizer("gemma")
    assert tokenizer.mask_token is not None
    backbone = models.backbone("gemma3_text")
    assert backbone.family == "causal"
    assert backbone.prompt_tokenizer.mask_id is None


def test_bert_as_a_decoder_is_causal():
    backbone = models.bert_decoder()
    assert backbone.family == "causal"


def test_a_model_of_pictures_is_refused():
    with pytest.raises(BackboneError, match="type 'vit' is not a masked, causal or seq2seq language model"):
        family_of(ViTConfig(), models.tokenizer("gpt2"))


def test_a_model_without_a_head_is_refused():
    config = models.model("bert").config
    with torch.random.fork_rng():
        headless = AutoModel.from_config(config)
    with pytest.raises(
        BackboneError, match=r"BertModel has no language-modelling head; .* AutoModelForMaskedLM"
    ) as caught:
        Backbone(headless, models.tokenizer("wordpiece"), "x")
    assert isinstance(caught.value, SoftclozeError)
    assert isinstance(caught.value, ValueError)
