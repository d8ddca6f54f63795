"""The sequences that a model continues with an answer, and those of plain transformers with the answer as labels."""

import pytest
import torch
from support import models

from softcloze.encoding import CompiledTemplate
from softcloze.scoring.families import answer_input_of
from softcloze.template import Template


def encoded(architecture, source, answer):
    backbone = models.backbone(architecture)
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, 100)
    (prompt,) = compiled.encode(["a good film"], answers=[answer])
    return backbone, prompt, answer_input_of(backbone, prompt, compiled.answers)


def test_a_causal_model_continues_its_prompt():
    _, prompt, model_input = encoded("gpt2", "<text> A: <answer>", "good")
    assert model_input.ids == prompt.left and model_input.source == ()


@pytest.mark.parametrize("architecture", ["t5", "mt5", "bart", "mbart"])
def test_a_decoder_writes_the_answer_as_transformers_trains_it(architecture):
    backbone, prompt, model_input = encoded(architecture, "Say: <text> <answer>", "good film")
    labels = torch.tensor([backbone.tokenizer(text_target="good film")["input_ids"]])
    shifted = backbone.model.prepare_decoder_input_ids_from_labels(labels)[0].tolist()
    written = [*model_input.ids, *prompt.answer]
    if architecture == "mbart":  # transformers begins with the last label, the language
        shifted[0] = backbone.decoder_start
    assert written[:-1] == shifted
    assert written[1:] == labels[0].tolist()
    assert list(model_input.source) == backbone.tokenizer("Say: a good film")["input_ids"]


@pytest.mark.parametrize("architecture", ["t5", "mt5"])
def test_an_answer_in_the_middle_follows_its_sentinel(architecture):
    backbone, prompt, model_input = encoded(architecture, "It was <answer> in <text>", "good")
    target = backbone.tokenizer("<extra_id_0> good <extra_id_1>")["input_ids"]
    assert [*model_input.ids[1:], *prompt.answer] == target[:-1]
    assert list(model_input.source) == backbone.tokenizer("It was <extra_id_0> in a good film")["input_ids"]
