"""Explanations of pairs of texts and by a real model, and what else is to be said of them."""

import json
from dataclasses import asdict

import pytest
import torch
from support import models
from torch import tensor

from softcloze import Template, Verbalizer
from softcloze.analysis import explain, likeliest_words
from softcloze.errors import EncodingError, ParameterError, SoftclozeError
from softcloze.prompt import CompiledPrompt
from softcloze.soft import SoftVectors

ONE = {"pos": ["good", "great"], "neg": "bad"}
TEXT = "A dull film."


def bind(backbone, source, table=ONE):
    backbone = models.backbone(backbone) if isinstance(backbone, str) else backbone
    return CompiledPrompt(Template(source), Verbalizer(table), backbone, None)


def close(found, expected, tolerance=1e-5):
    torch.testing.assert_close(tensor(found).double(), expected.double(), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("family", ["masked", "causal"])
def test_the_second_text_of_a_pair(family):
    backbone = models.backbone("bert") if family == "masked" else models.bert_decoder()
    bound = bind(backbone, "<a><sep><b> It was <mask>, <a>")
    (prompt,) = bound.encode([{"a": TEXT, "b": "很好"}])
    (explanation,) = explain(bound, [prompt], None)
    at = len(prompt.left)
    ids = [*prompt.left, backbone.prompt_tokenizer.mask_id, *prompt.right] if family == "masked" else list(prompt.left)
    inputs = {"input_ids": tensor([ids]), "token_type_ids": tensor([prompt.token_type_ids[: len(ids)]])}
    with torch.no_grad():
        logs = backbone.model(**inputs).logits[0].log_softmax(-1)[at if family == "masked" else at - 1]
    assert inputs["token_type_ids"].max() == 1
    close([word.probability for word in explanation.top], logs.sort(descending=True).values[:10].exp())
    words = [(word.log_probability, ids[0]) for word, ids in zip(explanation.words, bound.scorer.words, strict=True)]
    close([log for log, _ in words], logs[[first for _, first in words]], 1e-4)


def test_bert_tiny(bert_tiny):
    bound = bind(bert_tiny, "<text> It was <mask>.", {"good": ["good", "great"], "bad": ["bad", "terrible"]})
    texts = ["A delight from the first scene to the last.", "这部电影很好。"]
    for explanation, text in zip(explain(bound, bound.encode(texts), None), texts, strict=True):
        inputs = bert_tiny.tokenizer(f"{text} It was [MASK].", return_tensors="pt")
        at = inputs["input_ids"][0].tolist().index(bert_tiny.tokenizer.mask_token_id)
        with torch.no_grad():
            logs = bert_tiny.model(**inputs).logits[0, at].log_softmax(-1)
        best = logs.sort(descending=True)
        close([word.probability for word in explanation.top], best.values[:10].exp())
        assert [word.token for word in explanation.top] == bert_tiny.tokenizer.convert_ids_to_tokens(best.indices[:10])
        found = {word.word: word.log_probability for word in explanation.words}
        words = [bert_tiny.tokenizer.convert_tokens_to_ids(word) for word in found]
        close(list(found.values()), logs[words], 1e-4)
        assert explanation.mass == pytest.approx(logs[words].exp().sum().item(), abs=1e-6)
        assert explanation.predicted == {0: "bad", 1: "good"}[int(logs[words].exp().view(2, 2).sum(1).argmax())]


def test_the_top_words_may_be_the_whole_vocabulary():
    backbone = models.backbone("gpt2")
    bound = bind(backbone, "<text> It was <mask>")
    (explanation,) = explain(bound, bound.encode([TEXT]), None, top=10_000)
    assert len(explanation.top) == len(backbone.tokenizer) + 5
    assert sum(word.probability for word in explanation.top) == pytest.approx(1)
    marked = {word.token: word.label for word in explanation.top if word.label is not None}
    assert marked == {"␣good": "pos", "␣great": "pos", "␣bad": "neg"}
    unused = {word.token for word in explanation.top if word.token.startswith("<id ")}
    assert unused == {f"<id {len(backbone.tokenizer) + k}>" for k in range(5)}  # rows without a token, slots included


def test_an_explanation_is_plain_data():
    bound = bind("gpt2", "<text> 总之，很<mask>", {1: ["好", "满意"], 0: ["差", "失望"]})
    (explanation,) = explain(bound, bound.encode([TEXT]), None, top=2)
    data = json.loads(json.dumps(asdict(explanation)))
    assert data.keys() == {"labels", "probabilities", "words", "top", "mass", "parts", "several"}
    assert data["labels"] == [0, 1] and len(data["top"]) == 2
    assert data["words"][0].keys() == {"label", "word", "tokens", "log_probability", "score", "share"}
    assert data["top"][0].keys() == {"token", "probability", "label"}


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_model_and_vectors_are_given_back_as_found(outer):
    backbone = models.new_backbone("bert")
    bound = bind(backbone, "<soft*2><text> It was <mask>.")
    soft = SoftVectors(bound.template.blocks, torch.ones(2, backbone.width))
    prompts = bound.encode([TEXT])
    backbone.model.train()
    flags = [parameter.requires_grad for parameter in backbone.model.parameters()]
    expected = explain(bound, prompts, soft)
    with outer():
        assert explain(bound, prompts, soft) == expected
    assert backbone.model.training and all(flags)
    assert [parameter.requires_grad for parameter in backbone.model.parameters()] == flags
    assert soft.weight.grad is None and all(parameter.grad is None for parameter in backbone.model.parameters())


def test_no_prompts_and_no_top_words():
    bound = bind("bert", "<text> It was <mask>.")
    assert explain(bound, [], None) == []
    (explanation,) = explain(bound, bound.encode([TEXT]), None, top=0)
    assert explanation.top == ()


def test_mistakes():
    bound = bind("bert", "<text> It was <mask>.")
    for top in (-1, "3", 1.5, True, None):
        for function in (explain, likeliest_words):
            with pytest.raises(ParameterError, match=f"^top={top!r}, but it has to be an integer") as error:
                function(bound, bound.encode([TEXT]), None, top=top)
    assert isinstance(error.value, SoftclozeError) and isinstance(error.value, ValueError)
    bound = bind("qwen3", "<mask>: <text>")
    with pytest.raises(EncodingError, match=r"^nothing stands before <mask>"):
        explain(bound, bound.encode([TEXT]), None)
