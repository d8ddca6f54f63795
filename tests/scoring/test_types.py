"""Pairs of texts: token types reach the model as they do in plain transformers."""

import pytest
import torch
from support import models
from support.reference_scores import inputs_of, word_scorer

from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring import compute_features
from softcloze.template import Template

PAIRS = [
    ("A film about people.", "It is long"),
    ("这部电影很好。", "The film is good"),
    ("Dull.", "I liked the story, the cast and the music"),
]
WITH_TYPES = ["bert", "electra", "albert"]
WORDS = ["good", "bad", "really good", "terrible story"]


def scored(backbone, source, pairs=PAIRS, words=WORDS, soft=None, max_length=64):
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, max_length)
    ids = [compiled.word_ids(word) for word in words]
    prompts = compiled.encode([{"a": a, "b": b} for a, b in pairs], answer_length=max(map(len, ids)))
    return (
        prompts,
        ids,
        compute_features(word_scorer(backbone, compiled, ids), prompts, inputs_of(soft)).log_softmax(-1),
    )


def plain_scores(backbone, pair, words, after="."):
    """Scores from tokenizer and model alone, one call for each word with its own number of masks."""
    tokenizer, scores = backbone.tokenizer, []
    for word in words:
        inputs = tokenizer(pair[0], f"{pair[1]} {tokenizer.mask_token * len(word)}{after}", return_tensors="pt")
        at = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
        with torch.no_grad():
            logs = backbone.model(**inputs).logits[0, at].log_softmax(-1)
        scores.append(logs[torch.arange(len(word)), torch.tensor(word)].sum())
    return torch.stack(scores).log_softmax(-1), inputs


@pytest.mark.parametrize("architecture", WITH_TYPES)
def test_scores_of_a_pair_are_those_of_plain_transformers(architecture):
    backbone = models.backbone(architecture)
    assert backbone.uses_token_types
    _, words, scores = scored(backbone, "<a><sep><b> <mask>.")
    assert {len(word) for word in words} != {1}
    expected = [plain_scores(backbone, pair, words) for pair in PAIRS]
    assert all(inputs["token_type_ids"].max() == 1 for _, inputs in expected)
    torch.testing.assert_close(scores, torch.stack([score for score, _ in expected]), atol=1e-4, rtol=1e-4)
    _, _, one_segment = scored(backbone, "<a> <b> <mask>.")
    assert (one_segment - scores).abs().max() > 0.01


@pytest.mark.parametrize("architecture", WITH_TYPES)
def test_types_matter(architecture):
    backbone = models.backbone(architecture)
    prompts, words, scores = scored(backbone, "<a><sep><b> <mask>.")
    flat = [EncodedPrompt(prompt.left, prompt.right, {}) for prompt in prompts]
    compiled = CompiledTemplate(Template("<a><sep><b> <mask>."), backbone.prompt_tokenizer, 64)
    without = compute_features(word_scorer(backbone, compiled, words), flat, None).log_softmax(-1)
    assert (without - scores).abs().max() > 0.01
    mixed = [prompts[0], flat[0]]  # a batch may hold both
    together = compute_features(word_scorer(backbone, compiled, words), mixed, None).log_softmax(-1)
    torch.testing.assert_close(together, torch.stack([scores[0], without[0]]), atol=1e-4, rtol=1e-4)


def test_a_pair_of_roberta():
    backbone = models.backbone("roberta")
    assert not backbone.uses_token_types
    prompts, words, scores = scored(backbone, "<a><sep><sep><b> <mask>.")
    tokenizer = backbone.tokenizer
    for pair, prompt, score in zip(PAIRS, prompts, scores, strict=True):
        expected, _ = plain_scores(backbone, pair, words)
        inputs = tokenizer(pair[0], f"{pair[1]} {tokenizer.mask_token}.")
        assert [*prompt.left, tokenizer.mask_token_id, *prompt.right] == inputs["input_ids"]
        torch.testing.assert_close(score, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", WITH_TYPES)
def test_slots_have_the_type_of_their_segment(architecture):
    backbone = models.backbone(architecture)
    dice = torch.Generator().manual_seed(0)
    soft = torch.randn(5, backbone.width, generator=dice) * backbone.embedding_rms
    prompts, words, scores = scored(backbone, "<soft*2><a><sep><soft*3><b> <mask>.", soft=soft)
    embed = backbone.model.get_input_embeddings()
    for prompt, score in zip(prompts, scores, strict=True):
        found = []
        for word in words:
            ids = [*prompt.left, *[backbone.prompt_tokenizer.mask_id] * len(word), *prompt.right]
            at = len(prompt.left)
            token_type_ids = [
                *prompt.token_type_ids[:at],
                *[prompt.token_type_ids[at]] * len(word),
                *prompt.token_type_ids[at + 1 :],
            ]
            rows = [soft[-1 - i] if i < 0 else embed(torch.tensor(i)) for i in ids]
            with torch.no_grad():
                logits = backbone.model(
                    inputs_embeds=torch.stack(rows)[None], token_type_ids=torch.tensor([token_type_ids])
                )
            logs = logits.logits[0, at : at + len(word)].log_softmax(-1)
            found.append(logs[torch.arange(len(word)), torch.tensor(word)].sum())
        torch.testing.assert_close(score, torch.stack(found).log_softmax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("source", ["<a><sep><b> <mask>", "<a><sep><b> <mask>, <a>"])
def test_a_causal_model_with_types(source):
    """BERT as a decoder has no prefix cache, since it would have to keep token types."""
    backbone = models.bert_decoder()
    assert backbone.family == "causal"
    assert backbone.uses_token_types
    assert not backbone.supports_prefix_cache
    prompts, words, scores = scored(backbone, source)
    for prompt, score in zip(prompts, scores, strict=True):
        found = []
        at = len(prompt.left)
        for word in words:
            ids = torch.tensor([[*prompt.left, *word, *prompt.right]])
            token_type_ids = [
                *prompt.token_type_ids[:at],
                *[prompt.token_type_ids[at]] * len(word),
                *prompt.token_type_ids[at + 1 :],
            ]
            with torch.no_grad():
                logs = (
                    backbone.model(input_ids=ids, token_type_ids=torch.tensor([token_type_ids]))
                    .logits[0]
                    .log_softmax(-1)
                )
            found.append(sum(logs[i - 1, ids[0, i]] for i in range(at, ids.shape[1])))
        torch.testing.assert_close(score, torch.stack(found).log_softmax(-1), atol=1e-4, rtol=1e-4)


def test_which_models_use_types(architecture):
    assert models.backbone(architecture).uses_token_types == (architecture in WITH_TYPES)


def test_a_mask_of_fixed_length_takes_so_many_masks():
    backbone = models.backbone("bert")
    words = ["really good", "really bad"]
    free = scored(backbone, "<a><b> <mask>.", words=words)
    fixed = scored(backbone, f"<a><b> <mask*{len(free[1][0])}>.", words=words)
    assert fixed[:2] == free[:2]
    assert torch.equal(fixed[2], free[2])
