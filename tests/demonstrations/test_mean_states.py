"""Mean states against plain transformers, one text at a time, for every architecture."""

import pytest
import torch
from support import models

from softcloze.demonstrations import mean_states

TEXTS = [
    "It was good.",
    "这部电影很好，演员也很好。",
    "A dull film about dull people, and far too long.",
    "差",
    "It was good. " * 40,  # longer than the model takes
]


def test_every_architecture(architecture):
    backbone = models.backbone(architecture)
    found = mean_states(backbone, TEXTS)
    for text, mean in zip(TEXTS, found, strict=True):
        ids = backbone.tokenizer(text)["input_ids"][: backbone.max_length]
        with torch.no_grad():
            states = models.hidden_states_of(backbone.model, input_ids=torch.tensor([ids]))[-1]
        torch.testing.assert_close(mean, states[0].float().mean(0), atol=1e-4, rtol=1e-4)
    assert (found[0] - found[1]).abs().max() > 0.01


def test_batch_size_does_not_matter(monkeypatch):
    backbone = models.backbone("llama")
    whole = mean_states(backbone, TEXTS)
    monkeypatch.setattr(backbone, "token_budget", 1)
    torch.testing.assert_close(mean_states(backbone, TEXTS), whole, atol=1e-5, rtol=1e-5)


def test_a_text_without_tokens_has_zeros():
    found = mean_states(models.backbone("gpt2"), ["", "It was good."])
    assert not found[0].any()
    assert found[1].any()
    assert not mean_states(models.backbone("gpt2"), ["", ""]).any()


def test_no_texts():
    assert mean_states(models.backbone("gpt2"), []).shape[0] == 0


@pytest.mark.parametrize("text", ["[MASK]", "</s> <mask>", "a\ud800b"])
def test_text_spells_no_special_token(text):
    assert mean_states(models.backbone("bert"), [text]).isfinite().all()


def test_the_model_is_left_unchanged():
    backbone = models.new_backbone("gpt2")
    backbone.model.train()
    mean_states(backbone, TEXTS)
    assert backbone.model.training
    assert all(parameter.requires_grad for parameter in backbone.model.parameters())
