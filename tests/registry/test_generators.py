"""Generators in a registry: added, compared by their models, tried by a row, and promoted."""

import pytest
from support import models

from softcloze import Template
from softcloze.errors import ArtifactError, ParameterError
from softcloze.prompt import GeneratorPrompt


def generator(backbone, template="<title>: <text> In short:<answer max=4>"):
    return GeneratorPrompt(Template(template), backbone.name, backbone.fingerprint)


def test_a_generator_is_added_tried_and_loaded(registry):
    backbone = models.backbone("gpt2")
    version = registry.add(generator(backbone), "shorten")
    assert registry.add(version.path, "shorten") == version
    assert registry.promote("shorten@1", backbone=backbone) == version
    cards = registry.read("shorten")
    assert (cards.kind, cards.labels, cards.model) == ("generator", (), backbone.name)
    assert registry.load("shorten").template == generator(backbone).template
    assert registry.check() == ()


def test_a_generator_of_another_model_or_that_cannot_write_is_not_promoted(registry):
    backbone = models.backbone("gpt2")
    registry.promote(str(registry.add(generator(backbone), "shorten")))
    registry.add(generator(models.backbone("llama")), "shorten")
    with pytest.raises(ParameterError, match="another backbone"):
        registry.promote("shorten@2")
    with pytest.raises(ArtifactError, match="belongs to"):
        registry.promote("shorten@2", "canary", backbone=backbone, model_changed=True)
    with pytest.raises(ParameterError, match="needs its backbone"):
        registry.promote("shorten@1", smoke=True)
    with pytest.raises(ParameterError, match="cannot score a row"):
        registry.promote("shorten@1", backbone=backbone, example={"text": "no title"})


def test_a_generator_in_place_of_a_classifier_needs_a_word(filled):
    backbone = models.backbone("gpt2")
    filled.add(generator(backbone), "reviews")
    with pytest.raises(ParameterError, match="other labels than reviews@3: it lacks 'negative', 'positive'"):
        filled.promote("reviews@4", model_changed=True)
    filled.promote("reviews@4", model_changed=True, labels_changed=True)
