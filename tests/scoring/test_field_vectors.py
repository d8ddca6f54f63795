"""Soft vectors that depend on a field, against plain soft vectors that a reference computes for each example."""

import pytest
import torch
from support import models
from support.finite_differences import assert_gradients
from support.reference_scores import assert_same, word_scorer

from softcloze.backbone import SoftInputs
from softcloze.encoding import CompiledTemplate, Demonstration
from softcloze.scoring import Member, compute_features, score_together
from softcloze.scoring.vocabulary_scores import log_probabilities
from softcloze.soft import SoftVectors
from softcloze.template import Template

ARCHITECTURES = ["gpt2", "llama", "gemma3_text", "bert", "t5"]
OTHERS = ["qwen3", "roberta", "deberta-v2", "modernbert", "distilbert", "albert", "bart"]
LONG = "In all, a positive review of a wonderful book."  # enough tokens to be worth a shared prefix
TEMPLATES = {
    "front": f"<soft*3 from=text> {LONG} <text> <soft*2> It was <mask>",
    "after the field": f"{LONG} <text> <soft*2 from=text> It was <mask>",
    "twice": f"<soft*2 name=a from=text> {LONG} <soft*2> <text> <soft name=a> <soft*2 from=text> So <mask>",
    "states": f"<soft*3 from=text from_by=states> {LONG} <text> <soft*2> It was <soft from=text><mask>",
    "short": "<soft*3 from=text from_by=states> <text> <soft*2> So <soft from=text><mask>",
}
# the first two share a long prefix; one is the same as another, and one is empty
TEXTS = [*(f"{models.SENTENCES[0]} {end}" for end in ("good", "bad")), *models.SENTENCES[1:4], models.SENTENCES[1], ""]


def compiled_with(backbone, source):
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, backbone.max_length)
    words = [compiled.word_ids(word) for word in ("good", "really great", "bad")]
    return compiled, word_scorer(backbone, compiled, words)


def mean_state(backbone, ids):
    """The mean state of a text alone, by plain transformers."""
    tokenizer, model = backbone.tokenizer, backbone.model
    specials = tokenizer("")["input_ids"]
    before = [i for i in specials if i in (tokenizer.bos_token_id, tokenizer.cls_token_id)]
    after = [i for i in specials if i not in before]
    stack = model.get_encoder() if backbone.family == "seq2seq" else model.base_model
    with torch.no_grad():
        return stack(input_ids=torch.tensor([[*before, *ids, *after]])).last_hidden_state[0].mean(0)


def states_of(backbone, compiled):
    """The mean states of the texts that are not empty, by field, as `start_networks` takes them."""
    if all(block.from_by != "states" for block in compiled.blocks):
        return {}
    ids = [prompt.field_ids["text"] for prompt in compiled.encode(TEXTS)]
    return {"text": torch.stack([mean_state(backbone, i) for i in ids if i])}


def vectors_of(compiled, backbone, seed=0):
    """Soft vectors with random networks."""
    generator = torch.Generator().manual_seed(seed)
    unit = backbone.embedding_rms
    soft = SoftVectors(compiled.blocks, torch.randn(compiled.soft_count, backbone.width, generator=generator) * unit)
    soft.start_networks(4, unit, seed, states_of(backbone, compiled))
    with torch.no_grad():
        for name, layer in soft.networks.items():
            if name.endswith("/up"):
                layer.normal_(std=2 * unit, generator=generator)
    return soft


def reference(backbone, soft, compiled, text):
    """The vectors of one example, shape (soft, width), from the tokens that `inspect` lists."""
    tokens = [info.token for info in compiled.inspect(text) if info.kind == "field" and info.kept]
    ids = backbone.tokenizer.convert_tokens_to_ids(tokens)
    with torch.no_grad():
        embedded = backbone.model.get_input_embeddings()(torch.tensor(ids, dtype=torch.long))
        mean = sum(embedded) / len(ids) if ids else torch.zeros(backbone.width)
        vectors = soft.weight.detach().clone()
        for block in soft.blocks:
            if block.from_ is not None:
                down, up = soft.networks[f"{block.key}/down"], soft.networks[f"{block.key}/up"]
                given = mean
                if block.from_by == "states":
                    given = mean_state(backbone, ids) if ids else torch.zeros(down.shape[1])
                for i, row in enumerate(block.rows):
                    vectors[row] += up[i] @ torch.tanh(down @ given)
    return vectors


@pytest.mark.parametrize(
    ("architecture", "template"),
    [
        *((name, template) for name in ARCHITECTURES for template in TEMPLATES if template != "short"),
        *((name, "short") for name in OTHERS),
    ],
)
def test_alone_in_a_batch_packed_and_cached(architecture, template):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, TEMPLATES[template])
    soft = vectors_of(compiled, backbone)
    prompts = compiled.encode(TEXTS, answer_length=3)
    with backbone.frozen(), torch.no_grad():
        expected = torch.cat(
            [
                scorer.batch([prompt], SoftInputs(reference(backbone, soft, compiled, text)))
                for prompt, text in zip(prompts, TEXTS, strict=True)
            ]
        )
        base = scorer.batch(prompts, SoftInputs(soft.weight.detach()))
        assert (base - expected).abs().max() > 0.01
        inputs = soft.inputs()
        assert_same(compute_features(scorer, prompts, inputs), expected)
        assert_same(scorer.batch(prompts, inputs), expected)
        assert_same(torch.cat([scorer.batch([prompt], inputs) for prompt in prompts]), expected)
        prefix = scorer.cache_prefixes(prompts, 2**30)
        if prefix is not None:
            assert_same(scorer.batch(prompts, inputs, prefix, range(len(prompts))), expected)


@pytest.mark.parametrize(
    ("architecture", "template"),
    [
        *((name, template) for name in ARCHITECTURES for template in ("front", "after the field", "states")),
        *((name, "short") for name in OTHERS),
    ],
)
def test_without_training_no_bit_changes(architecture, template):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, TEMPLATES[template])
    prompts = compiled.encode(TEXTS, answer_length=3)
    plain = SoftVectors(compiled.blocks, vectors_of(compiled, backbone).weight)
    soft = SoftVectors(compiled.blocks, plain.weight)
    soft.start_networks(4, backbone.embedding_rms, 0, states_of(backbone, compiled))
    with backbone.frozen():
        for prompt in prompts:
            assert torch.equal(*(scorer.batch([prompt], own.inputs()) for own in (soft, plain)))
        scores, expected = (scorer.batch(prompts, own.inputs()) for own in (soft, plain))
        # packed sequences of a causal model share fewer tokens after a slot in front
        packed = backbone.can_pack and template != "after the field"
        torch.testing.assert_close(scores, expected, atol=1e-5 if packed else 0, rtol=0)
        for result in (scores, expected):
            result.log_softmax(-1)[:, 0].sum().backward()
    # the gradients of the examples are added up in another order
    torch.testing.assert_close(soft.weight.grad, plain.weight.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "t5"])
def test_gradients_are_those_of_finite_differences(architecture):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, TEMPLATES["after the field"])
    prompts = compiled.encode(TEXTS, answer_length=3)
    soft = vectors_of(compiled, backbone)

    def loss():
        return scorer.batch(prompts, soft.inputs()).log_softmax(-1)[:, 0].sum()

    with backbone.frozen():
        loss().backward()
        assert_gradients(loss, soft.parameters())


def test_members_with_and_without_networks_share_batches():
    backbone = models.backbone("llama")
    sources = [TEMPLATES["front"], f"<soft*3> {LONG} <text> It was <mask>", f"{LONG} <text> It was <mask>"]
    members = []
    for seed, source in enumerate([*sources, *(TEMPLATES[name] for name in ("front", "states", "states"))]):
        compiled, scorer = compiled_with(backbone, source)
        soft = vectors_of(compiled, backbone, seed).inputs() if compiled.blocks else None
        members.append(Member(scorer, compiled.encode(TEXTS, answer_length=3), soft))
    with backbone.frozen(), torch.no_grad():
        for scores, member in zip(score_together(members), members, strict=True):
            alone = torch.cat([member.scorer.batch([prompt], member.soft) for prompt in member.prompts])
            assert_same(scores, alone)


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_the_whole_vocabulary_is_scored_with_the_vectors_of_the_example(architecture):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, TEMPLATES["front"])
    soft = vectors_of(compiled, backbone)
    (prompt,) = compiled.encode(TEXTS[:1], answer_length=3)
    with backbone.frozen(), torch.no_grad():
        words, vocabulary = log_probabilities(backbone, prompt, scorer.words, soft.inputs())
        plain = SoftInputs(reference(backbone, soft, compiled, TEXTS[0]))
        expected = log_probabilities(backbone, prompt, scorer.words, plain)
    torch.testing.assert_close((words, vocabulary), expected, atol=1e-5, rtol=1e-5)


def test_the_tokens_are_those_that_truncation_keeps_outside_demonstrations():
    backbone = models.backbone("bert")
    tokenizer = backbone.tokenizer
    source = "<demos> <soft*2 from=text> <title>: <text max=4 keep=tail> It was <mask>"
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, backbone.max_length)
    example = {"title": "The end", "text": "I liked the story, the cast and the music."}
    demonstration = Demonstration({"title": "A film", "text": "It was dull."}, "bad")
    (prompt,) = compiled.encode([example], demonstrations=[[demonstration]])
    ids = tokenizer(example["text"], add_special_tokens=False)["input_ids"]
    assert len(ids) > 4
    assert prompt.field_ids == {"text": tuple(ids[-4:])}
