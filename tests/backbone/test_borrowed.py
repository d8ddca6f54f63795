"""The model is borrowed: every flag and every weight is restored."""

import pytest
import torch
from sklearn.base import clone
from support import models


def flags(model):
    return [p.requires_grad for p in model.parameters()], [m.training for m in model.modules()]


def mix_flags(model):
    """Make some parameters trainable and set some modules to training mode, irregularly."""
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(number % 3 == 0)
    for number, module in enumerate(model.modules()):
        module.training = number % 2 == 0


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_frozen_restores_every_flag(architecture):
    backbone = models.new_backbone(architecture)
    mix_flags(backbone.model)
    before = flags(backbone.model)
    with backbone.frozen():
        assert flags(backbone.model) == ([False] * len(before[0]), [False] * len(before[1]))
        with backbone.frozen():
            pass
        assert not any(flags(backbone.model)[0] + flags(backbone.model)[1])
    assert flags(backbone.model) == before


def test_also_after_an_exception():
    backbone = models.new_backbone("bert")
    mix_flags(backbone.model)
    before = flags(backbone.model)
    with pytest.raises(KeyboardInterrupt), backbone.frozen():
        raise KeyboardInterrupt
    assert flags(backbone.model) == before


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert", "bloom", "t5"])
@pytest.mark.parametrize("loaded", ["sdpa", "eager"])
def test_the_attention_is_restored(architecture, loaded, caplog):
    backbone = models.new_backbone(architecture)
    config = backbone.model.config
    if architecture != "bloom":  # which has one of its own
        backbone.model.set_attn_implementation(loaded)
    before = config._attn_implementation
    ours = before == "sdpa" and architecture in ("llama", "gpt2", "bert")
    with pytest.raises(KeyboardInterrupt), backbone.frozen():
        assert config._attn_implementation == backbone.attention == ("softcloze" if ours else before)
        with pytest.raises(ValueError, match="inside"), backbone.frozen():
            assert config._attn_implementation == backbone.attention
            raise ValueError("inside")
        assert config._attn_implementation == backbone.attention
        raise KeyboardInterrupt
    assert config._attn_implementation == before
    assert not caplog.records


def test_facts_and_outputs_change_nothing(architecture):
    backbone = models.new_backbone(architecture)
    mix_flags(backbone.model)
    before = flags(backbone.model)
    weights = {name: parameter.clone() for name, parameter in backbone.model.named_parameters()}
    state = torch.get_rng_state()
    with torch.no_grad():
        backbone.outputs([[7, 8, 9]], [[2]], vocab_ids=torch.tensor([4, 5]))
    assert backbone.fingerprint["model"]
    assert backbone.embedding_rms > 0
    assert backbone.supports_prefix_cache == (architecture in models.CAUSAL)
    assert flags(backbone.model) == before
    assert torch.equal(torch.get_rng_state(), state) or any(before[1])  # dropout of modules in training mode
    for name, parameter in backbone.model.named_parameters():
        assert torch.equal(parameter, weights[name])
        assert parameter.grad is None


def test_clone_shares_the_backbone():
    backbone = models.backbone("bert")
    assert clone(backbone) is backbone


def test_facts(architecture):
    backbone = models.backbone(architecture)
    embedding = backbone.model.get_input_embeddings()
    assert backbone.width == embedding.weight.shape[1]
    assert backbone.parameters == sum(p.numel() for p in set(backbone.model.parameters()))
    assert backbone.device == torch.device("cpu")
    assert backbone.max_length == 64
    with torch.no_grad():
        everything = embedding(torch.arange(len(embedding.weight)))
    assert backbone.embedding_rms == pytest.approx(float(everything.square().mean().sqrt()), rel=1e-5)
    assert repr(backbone).startswith(f"Backbone('{architecture}', family='")


def test_gemma_scales_inside_its_embedding_module():
    backbone = models.backbone("gemma3_text")
    ids = torch.tensor([7, 8])
    embedded = backbone.embed(ids)
    weight = backbone.model.get_input_embeddings().weight.detach()
    torch.testing.assert_close(embedded, weight[ids] * 32**0.5, rtol=1e-5, atol=1e-5)
    assert not embedded.requires_grad


def test_the_longest_prompt_is_the_smaller_of_two_limits():
    backbone = models.new_backbone("bert")
    tokenizer = backbone.tokenizer
    tokenizer.model_max_length = 10**30
    assert type(backbone)(backbone.model, tokenizer, "x").max_length == 64
    tokenizer.model_max_length = 40
    assert type(backbone)(backbone.model, tokenizer, "x").max_length == 40
    roberta = models.new_backbone("roberta")
    roberta.tokenizer.model_max_length = 10**30
    longest = type(roberta)(roberta.model, roberta.tokenizer, "x").max_length
    assert longest == 64  # of 66 positions two belong to the padding
    with torch.no_grad():
        roberta.outputs([[9] * longest], [[0]])


def test_the_longest_prompt_runs(architecture):
    backbone = models.backbone(architecture)
    with torch.no_grad():
        found = backbone.outputs([[9, 10] * (backbone.max_length // 2)], [[backbone.max_length - 1]]).logits
    assert torch.isfinite(found).all()
