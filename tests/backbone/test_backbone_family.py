"""Which models are taken, and how they predict."""

import models
import pytest
import torch
from transformers import (
    AutoModel,
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
)

from softcloze.backbone import Backbone, BackboneError
from softcloze.backbone.backbone import family_of
from softcloze.errors import SoftclozeError

SMALL = {"vocab_size": 700, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 32}


def test_family(architecture):
    assert models.backbone(architecture).family == ("masked" if architecture in models.MASKED else "causal")


def test_an_unused_mask_token_makes_no_masked_model():
    tokenizer = models.tokenizer("gemma")
    assert tokenizer.mask_token is not None
    backbone = models.backbone("gemma3_text")
    assert backbone.family == "causal"
    assert backbone.vocabulary.mask_id is None


def test_bert_as_a_decoder_is_causal():
    backbone = models.bert_decoder()
    assert backbone.family == "causal"


def test_t5_is_refused():
    model = T5ForConditionalGeneration(T5Config(vocab_size=700, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    with pytest.raises(BackboneError, match="type 't5' is neither a masked nor a causal language model"):
        Backbone(model, models.tokenizer("xlmr"), "x")
    with pytest.raises(BackboneError, match="such as BERT or Llama"):
        family_of(T5Config(), models.tokenizer("xlmr"))


def test_bart_is_refused():
    config = BartConfig(
        **SMALL, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16
    )
    with pytest.raises(BackboneError, match="'bart'"):
        Backbone(BartForConditionalGeneration(config), models.tokenizer("roberta"), "x")


def test_a_model_of_pictures_is_refused():
    with pytest.raises(BackboneError, match="type 'vit' is neither a masked nor a causal language model"):
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
