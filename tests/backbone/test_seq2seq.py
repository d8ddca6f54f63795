"""Models with an encoder and a decoder: families, compatibility, restored flags."""

import pytest
import torch
from support import models
from transformers import (
    FSMTConfig,
    FSMTForConditionalGeneration,
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MBartConfig,
    PegasusConfig,
    PegasusForConditionalGeneration,
    ProphetNetConfig,
    ProphetNetForConditionalGeneration,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    T5Model,
)

from softcloze.backbone import Backbone, load_backbone, load_tokenizer
from softcloze.backbone.family import family_of
from softcloze.demonstrations import mean_states
from softcloze.errors import BackboneError

SMALL = {
    f"{side}_{name}": number
    for side in ("encoder", "decoder")
    for name, number in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))
} | {"vocab_size": 700, "d_model": 16, "max_position_embeddings": 32, "pad_token_id": 1}


@pytest.fixture(params=list(models.SEQ2SEQ))
def architecture(request):
    """Only models with an encoder and a decoder."""
    return request.param


def test_family(architecture):
    backbone = models.backbone(architecture)
    assert backbone.family == "seq2seq"
    assert not backbone.supports_prefix_cache
    assert backbone.decoder_start == (0 if "t5" in architecture else 2)
    assert models.backbone("bert").decoder_start is None


def test_the_blank_is_a_sentinel_where_there_are_some():
    for name, mark in (("t5", ""), ("mt5", "▁")):
        prompt_tokenizer, ids = models.backbone(name).prompt_tokenizer, models.borrowed(name).get_vocab()
        assert prompt_tokenizer.sentinels == tuple(ids[f"{mark}<extra_id_{i}>"] for i in range(models.SENTINELS))
        assert prompt_tokenizer.mask_id == prompt_tokenizer.sentinels[0]
    prompt_tokenizer = models.backbone("bart").prompt_tokenizer
    assert (prompt_tokenizer.sentinels, prompt_tokenizer.mask_id) == ((), models.borrowed("roberta").mask_token_id)


def test_a_model_that_only_translates_is_refused():
    with torch.random.fork_rng():
        model = MarianMTModel(MarianConfig(**SMALL, decoder_start_token_id=1))
    with pytest.raises(BackboneError, match=r"'marian' model has neither a mask token nor sentinels .* take T5"):
        Backbone(model, models.tokenizer("llama"), "x")


def test_a_decoder_without_a_beginning_is_refused():
    assert family_of(MBartConfig(), models.borrowed("xlmr")) == "seq2seq"
    with torch.random.fork_rng():
        model = T5ForConditionalGeneration(
            T5Config(vocab_size=700, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        )
    with pytest.raises(BackboneError, match=r"with which token its decoder begins; set model.config.decoder_start"):
        Backbone(model, models.tokenizer("t5"), "x")
    model.config.decoder_start_token_id = 0
    assert Backbone(model, models.tokenizer("t5"), "x").decoder_start == 0


def test_an_encoder_that_scales_only_what_it_looks_up_is_refused():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = PegasusForConditionalGeneration(
            PegasusConfig(**SMALL, scale_embedding=True, decoder_start_token_id=0, init_std=1.0)
        )
    with pytest.raises(BackboneError, match="PegasusForConditionalGeneration scores the embeddings of tokens"):
        Backbone(model, models.tokenizer("roberta"), "x")


SWITCH = {"vocab_size": 700, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2, "num_experts": 2}


def backbone_of(model_class, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=0.5)
    return Backbone(model, models.tokenizer("roberta"), "x")


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (M2M100ForConditionalGeneration, M2M100Config(**SMALL, decoder_start_token_id=2)),
        (SwitchTransformersForConditionalGeneration, SwitchTransformersConfig(**SWITCH, decoder_start_token_id=2)),
    ],
)
def test_other_models_read_as_plain_transformers(model_class, config):
    backbone = backbone_of(model_class, config)
    rows, sources = [[2, 5, 6], [2, 7, 8]], [(20, 21, 22, 23, 24, 25), (30, 31)]
    with backbone.frozen(), torch.no_grad():
        found = backbone.outputs(rows, [[0, 1, 2]] * 2, sources=sources).logits.view(2, 3, -1)
        for own, row, source in zip(found, rows, sources, strict=True):
            inputs = {"input_ids": torch.tensor([source]), "decoder_input_ids": torch.tensor([row])}
            torch.testing.assert_close(own, backbone.model(**inputs).logits[0], atol=1e-4, rtol=1e-4)
    assert (found[0] - found[1])[0].std() > 0.1  # else the text would change nothing


@pytest.mark.parametrize(
    ("model_class", "config", "reason"),
    [
        (
            FSMTForConditionalGeneration,
            FSMTConfig(**SMALL, langs=["en", "de"], src_vocab_size=700, tgt_vocab_size=700, decoder_start_token_id=2),
            "TypeError: .*input_ids",
        ),
        (
            ProphetNetForConditionalGeneration,
            ProphetNetConfig(
                vocab_size=700,
                hidden_size=16,
                num_encoder_layers=1,
                num_decoder_layers=1,
                num_encoder_attention_heads=2,
                num_decoder_attention_heads=2,
                encoder_ffn_dim=16,
                decoder_ffn_dim=16,
                decoder_start_token_id=2,
            ),
            "IndexError",
        ),
    ],
)
def test_a_model_that_does_not_accept_embeddings_raises(model_class, config, reason):
    with pytest.raises(BackboneError, match=f"{model_class.__name__} does not accept `inputs_embeds`.*{reason}"):
        backbone_of(model_class, config)


def test_a_model_without_a_head_is_refused():
    config = models.model("t5").config
    with torch.random.fork_rng():
        headless = T5Model(config)
    with pytest.raises(BackboneError, match=r"T5Model has no language-modelling head; .* AutoModelForSeq2SeqLM"):
        Backbone(headless, models.tokenizer("t5"), "x")


@pytest.mark.parametrize("name", ["t5-gated", "bart"])
def test_loading_from_a_folder(name, tmp_path):
    made = models.backbone(name)
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    loaded = load_backbone(str(tmp_path), dtype="float32", device="cpu")
    assert loaded.fingerprint == made.fingerprint
    assert load_tokenizer(str(tmp_path))[1:] == ("seq2seq", 64) == (loaded.family, loaded.max_length)


def test_the_head_is_cut_where_it_can_be(architecture):
    """BART adds a bias of vocabulary size."""
    backbone = models.backbone(architecture)
    assert backbone._can_cut_head == ("bart" not in architecture)
    source, columns, places = (8, 9, 10), torch.tensor([3, 17, 40, 101]), [[1, 0], [0, 2]]
    rows = [[0, 7, 5], [0, 6, 3]]
    with torch.no_grad():
        full = backbone.outputs(rows, places, sources=[source] * 2).logits
        cut = backbone.outputs(rows, places, sources=[source] * 2, vocab_ids=columns).logits
        plain = [
            backbone.model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([row])).logits[0, at]
            for row, at in zip(rows, places, strict=True)
        ]
    torch.testing.assert_close(full, torch.cat(plain), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cut, full[..., columns], atol=1e-4, rtol=1e-4)


def test_nothing_is_left_behind_in_the_model(architecture):
    backbone = models.backbone(architecture)
    before = {name: weight.clone() for name, weight in backbone.model.state_dict().items()}
    for columns in (None, torch.tensor([3, 4])):
        backbone.outputs([[0, 9]], [[1]], sources=[(8, 9)], vocab_ids=columns)
        with pytest.raises(IndexError, match="out of bounds"):
            backbone.outputs([[0, 9]], [[7]], sources=[(8, 9)], vocab_ids=columns)
    assert not backbone.model.get_output_embeddings()._forward_pre_hooks
    after = backbone.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_mean_states_are_the_encoder_s(architecture):
    backbone = models.backbone(architecture)
    texts = ["It was good", "这部电影很好，演员也很好。"]
    found = mean_states(backbone, texts)
    with torch.no_grad():
        for vector, text in zip(found, texts, strict=True):
            ids = torch.tensor([backbone.tokenizer(text)["input_ids"]])
            plain = backbone.model.get_encoder()(input_ids=ids).last_hidden_state[0].mean(0)
            torch.testing.assert_close(vector, plain, atol=1e-4, rtol=1e-4)
