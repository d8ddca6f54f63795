"""Compatibility of masked and causal models beyond those of `models`: none gives wrong scores silently."""

import pytest
import torch
from support import models
from support.reference_scores import assert_same, embeddings_of, inputs_of, make_scorer, soft_vectors
from transformers import (
    BartConfig,
    BartForCausalLM,
    BertGenerationConfig,
    BertGenerationDecoder,
    ConvBertConfig,
    ConvBertForMaskedLM,
    FNetConfig,
    FNetForMaskedLM,
    Gemma3nForCausalLM,
    Gemma3nTextConfig,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    IBertConfig,
    IBertForMaskedLM,
    MobileBertConfig,
    MobileBertForMaskedLM,
    NystromformerConfig,
    NystromformerForMaskedLM,
    RoFormerConfig,
    RoFormerForCausalLM,
    XLNetConfig,
    XLNetLMHeadModel,
)

from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.errors import BackboneError
from softcloze.scoring import Member, score_together

COMMON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
GEMMA = {
    **COMMON,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "hidden_size_per_layer_input": 8,
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 1000,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "sliding_window": 8,
}
TEXTS = [tuple(range(20 + i, 20 + i + length)) for i, length in enumerate((18, 3, 25, 7, 18))]
WORDS = [(20, 21, 22), (31,), (40, 41)]


def backbone_of(model_class, config_class, tokenizer, **options):
    """A tiny model with random weights, all of which change scores."""
    borrowed = models.borrowed(tokenizer)
    made = models.with_random_weights(model_class(config_class(vocab_size=len(borrowed) + 5, **options)))
    return Backbone(made, borrowed, "x")


@pytest.mark.parametrize(
    ("model_class", "config_class", "tokenizer", "options", "reason"),
    [
        (
            IBertForMaskedLM,
            IBertConfig,
            "wordpiece",
            COMMON,
            "does not accept `inputs_embeds` with a padding mask",
        ),
        (
            NystromformerForMaskedLM,
            NystromformerConfig,
            "wordpiece",
            COMMON,
            "scores the embeddings of tokens, with a mask, differently",
        ),
        (
            MobileBertForMaskedLM,
            MobileBertConfig,
            "wordpiece",
            {**COMMON, "embedding_size": 16, "intra_bottleneck_size": 16},
            "does not run its output embedding on one state for each word",
        ),
        (ConvBertForMaskedLM, ConvBertConfig, "wordpiece", COMMON, "sees the padding after a sequence"),
        (
            FNetForMaskedLM,
            FNetConfig,
            "wordpiece",
            {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48},
            "sees the padding after a sequence",
        ),
        (
            XLNetLMHeadModel,
            XLNetConfig,
            "gpt2",
            {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48},
            "is not causal",
        ),
        (BertGenerationDecoder, BertGenerationConfig, "gpt2", COMMON, "is not causal as it is configured"),
    ],
)
def test_a_model_with_wrong_scores_raises(model_class, config_class, tokenizer, options, reason):
    with pytest.raises(BackboneError, match=rf"\b{model_class.__name__} {reason}"):
        backbone_of(model_class, config_class, tokenizer, **options)


@pytest.mark.parametrize(
    ("model_class", "config_class", "options", "in_parts"),
    [
        (BertGenerationDecoder, BertGenerationConfig, {**COMMON, "is_decoder": True}, True),
        (
            Gemma3nForCausalLM,
            Gemma3nTextConfig,
            {**GEMMA, "laurel_rank": 4, "activation_sparsity_pattern": [0.0] * 4},
            True,
        ),
        (Gemma4ForCausalLM, Gemma4TextConfig, {**GEMMA, "global_head_dim": 8}, True),
        (
            Gemma4ForCausalLM,
            Gemma4TextConfig,
            {**GEMMA, "global_head_dim": 8, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0},
            True,
        ),
        (
            GPTNeoForCausalLM,
            GPTNeoConfig,
            {
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 4,
                "window_size": 8,
                "attention_types": [[["global", "local"], 1]],
            },
            True,
        ),
        # these count positions from the number of cached places, padding in front of them included
        (
            BartForCausalLM,
            BartConfig,
            {
                "d_model": 32,
                "decoder_layers": 2,
                "decoder_attention_heads": 4,
                "decoder_ffn_dim": 48,
                "is_encoder_decoder": False,
                "is_decoder": True,
            },
            False,
        ),
        (RoFormerForCausalLM, RoFormerConfig, {**COMMON, "is_decoder": True}, False),
    ],
)
def test_other_causal_models_score_as_plain_transformers(model_class, config_class, options, in_parts):
    backbone = backbone_of(model_class, config_class, "gpt2", **options)
    assert backbone.supports_prefix_cache == in_parts
    assert in_parts or backbone.prefix_cache_reason == "split in two parts it gave other scores"
    soft = soft_vectors(backbone, 2)
    members = [
        Member(
            make_scorer(backbone, WORDS, right=False),
            [EncodedPrompt((*start, *text, *tail), (), {}) for text in TEXTS],
            inputs_of(own),
        )
        for start, tail, own in [((), (90, 91), None), ((10, 11, 12), (91,), None), ((-1, -2, 10), (91,), soft)]
    ]
    for found, member in zip(score_together(members), members, strict=True):
        with torch.no_grad():
            rows = [
                models.word_scores(backbone.model, prompt, WORDS, embeddings_of(member.soft))
                for prompt in member.prompts
            ]
        assert_same(found, torch.stack(rows))


def test_a_model_is_restored():
    made = models.model("bert").train()
    made.bert.embeddings.requires_grad_(False)
    flags = [(parameter.requires_grad, made.training) for parameter in made.parameters()]
    before = torch.random.get_rng_state()
    Backbone(made, models.tokenizer("wordpiece"), "x")
    assert flags == [(parameter.requires_grad, made.training) for parameter in made.parameters()]
    assert torch.equal(before, torch.random.get_rng_state())
    assert not made.get_output_embeddings()._forward_pre_hooks
