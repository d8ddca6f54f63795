"""Soft vectors that depend on a field at a later layer, against plain transformers whose layers are wrapped by name."""

import pytest
import torch
from support import models
from support.deep_reference import logits, source_logits
from support.finite_differences import assert_gradients
from support.reference_scores import assert_same, word_scorer

from softcloze import PromptClassifier
from softcloze.encoding import CompiledTemplate
from softcloze.errors import TemplateSyntaxError
from softcloze.scoring import Member, compute_features, score_together
from softcloze.scoring.seq2seq import Infilling
from softcloze.scoring.vocabulary_scores import log_probabilities
from softcloze.soft import SoftVectors
from softcloze.template import Template

CAUSAL = ["gpt2", "llama", "gemma3_text", "qwen3"]
OTHERS = ["bert", "roberta", "deberta-v2", "modernbert", "distilbert", "albert", "t5", "bart"]
AFTER = "A review: <text> <soft*3 from=text layers=1> It was <mask>"
TEMPLATES = {
    "after the field": AFTER,
    "trained below": "<soft*2> <text> <soft*2 name=a from=text layers=1 mode=replace> So <soft name=a> it was <mask>",
}
AROUND = "<soft*2 name=a from=text layers=1> It was <mask>, I think: <text> <soft name=a>"
CASES = [(architecture, AFTER) for architecture in CAUSAL + OTHERS]
CASES += [(architecture, TEMPLATES["trained below"]) for architecture in ("gpt2", "bert", "albert", "t5")]
CASES += [(architecture, AROUND) for architecture in ("bert", "t5", "bart")]
TEXTS = [*(f"{models.SENTENCES[0]} {end}" for end in ("good", "bad")), *models.SENTENCES[1:3], ""]


def compiled_with(backbone, source):
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, backbone.max_length)
    words = [compiled.word_ids(word) for word in ("good", "really great", "bad")]
    return compiled, word_scorer(backbone, compiled, words)


def vectors_of(compiled, backbone, seed=0, *, trained=True):
    """Soft vectors with networks, random ones if they are `trained`."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(compiled.soft_count, backbone.width, generator=generator) * backbone.embedding_rms
    width = backbone.layers.width
    deep = {b.key: torch.randn(1, b.count, width, generator=generator) for b in compiled.blocks if b.late}
    soft = SoftVectors(compiled.blocks, weight, deep)
    if trained:
        soft.start_networks(4, backbone.embedding_rms, seed)
        with torch.no_grad():
            for name, layer in soft.networks.items():
                layer.normal_(std=2 if name.endswith("/up") else 0.3, generator=generator)
    return soft


def reference_logits(backbone, architecture, soft, ids, decoder, field):
    """Logits of one sequence with the vectors that its own field gives, by its hidden states in front of layer 1."""
    model, weight = backbone.model, soft.weight.detach()
    block = next(block for block in soft.blocks if block.late)
    starts = [i for i in range(len(ids)) if tuple(ids[i : i + len(field)]) == field] if field else []
    assert len(starts) == bool(field)
    stack = model.get_encoder() if backbone.family == "seq2seq" else model
    embed, scale = stack.get_input_embeddings(), getattr(stack, "embed_scale", 1.0) if decoder is not None else 1.0
    rows = torch.stack([weight[-1 - i] if i < 0 else embed(torch.tensor(i)) * scale for i in ids])
    states = models.hidden_states_of(stack, inputs_embeds=rows[None])[1][0]
    normed = states / states.square().mean(-1, keepdim=True).sqrt()
    u = normed[starts[0] : starts[0] + len(field)].mean(0) if field else torch.zeros(states.shape[1])
    down, up = soft.networks[f"{block.key}/down"], soft.networks[f"{block.key}/up"]
    own = soft.deep[: block.count] + torch.stack([matrix @ torch.tanh(down @ u) for matrix in up])
    vectors = torch.zeros(len(weight), states.shape[1])
    vectors[block.start : block.start + block.count] = own
    deep = {1: (vectors, tuple(block.rows) if block.mode == "replace" else ())}
    if decoder is not None:
        return source_logits(backbone, architecture, ids, decoder, weight, deep)
    return logits(backbone, architecture, ids, weight, deep)


def reference(backbone, architecture, soft, prompt, words, text):
    """Log-probability of each word, one forward pass over the whole vocabulary each."""
    tokenizer, scores = backbone.prompt_tokenizer, []
    for word in words:
        if backbone.family == "seq2seq":
            infilling = Infilling.of(prompt, tokenizer, backbone.decoder_start)
            row, decoder = infilling.source, [*infilling.opening, *word]
            first = len(infilling.opening)
            logs = reference_logits(backbone, architecture, soft, row, decoder[:-1], text).log_softmax(-1)
            scores.append(sum(logs[first - 1 + k, token] for k, token in enumerate(word)))
            continue
        masked = backbone.family == "masked"
        row = [*prompt.left, *([tokenizer.mask_id] * len(word) if masked else word), *prompt.right]
        logs = reference_logits(backbone, architecture, soft, row, None, text).log_softmax(-1)
        start = len(prompt.left) - (not masked)
        scores.append(sum(logs[start + k, token] for k, token in enumerate(word)))
    return torch.stack(scores)


def field_of(backbone, compiled, text):
    """Token ids of the field, from the tokens that `inspect` lists."""
    tokens = [info.token for info in compiled.inspect(text) if info.kind == "field" and info.kept]
    return tuple(backbone.tokenizer.convert_tokens_to_ids(tokens))


@pytest.mark.parametrize(("architecture", "source"), CASES)
def test_scores_are_those_of_plain_transformers(architecture, source):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, source)
    soft = vectors_of(compiled, backbone)
    prompts = compiled.encode(TEXTS, answer_length=3)
    with backbone.frozen(), torch.no_grad():
        expected = torch.stack(
            [
                reference(backbone, architecture, soft, prompt, scorer.words, field_of(backbone, compiled, text))
                for prompt, text in zip(prompts, TEXTS, strict=True)
            ]
        )
        inputs = soft.inputs()
        assert_same(scorer.batch(prompts, inputs), expected)
        assert_same(torch.cat([scorer.batch([prompt], inputs) for prompt in prompts]), expected)
        assert_same(compute_features(scorer, prompts, inputs), expected)


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "bart"])
def test_without_training_they_are_those_of_the_plain_late_prompt(architecture):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, AFTER)
    prompts = compiled.encode(TEXTS, answer_length=3)
    plain, soft = vectors_of(compiled, backbone, trained=False), vectors_of(compiled, backbone, trained=False)
    soft.start_networks(4, backbone.embedding_rms, 0)
    with backbone.frozen(), torch.no_grad():
        scores = [scorer.batch(prompts, own.inputs()) for own in (soft, plain)]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["llama", "bert", "t5"])
@pytest.mark.parametrize("source", TEMPLATES.values())
def test_gradients_are_those_of_finite_differences(architecture, source):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, source)
    prompts = compiled.encode(TEXTS[:3], answer_length=3)
    soft = vectors_of(compiled, backbone)

    def loss():
        return scorer.batch(prompts, soft.inputs()).log_softmax(-1)[:, 0].sum()

    with backbone.frozen():
        loss().backward()
        assert len(soft.trained) == 3 + soft.trains_embeddings
        # the embeddings of a late slot are constants
        assert_gradients(loss, soft.trained.values(), constants=True)


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "t5"])
def test_members_with_and_without_such_slots_share_batches(architecture):
    backbone = models.backbone(architecture)
    members = []
    for seed, source in enumerate([AFTER, "<soft*2> <text> It was <mask>", TEMPLATES["trained below"]]):
        compiled, scorer = compiled_with(backbone, source)
        soft = vectors_of(compiled, backbone, seed)
        members.append(Member(scorer, compiled.encode(TEXTS, answer_length=3), soft.inputs()))
    with backbone.frozen(), torch.no_grad():
        for scores, member in zip(score_together(members), members, strict=True):
            assert_same(scores, torch.cat([member.scorer.batch([p], member.soft) for p in member.prompts]))


@pytest.mark.parametrize("architecture", ["gpt2", "bert", "t5"])
def test_equal_tokens_of_other_fields(architecture):
    """Two examples have the same tokens, of which other ones are the field."""
    backbone = models.backbone(architecture)
    source = "<title> <text> <soft from=text layers=1> It was <mask>"
    compiled, scorer = compiled_with(backbone, source)
    soft = vectors_of(compiled, backbone).inputs()
    examples = [{"title": "a film", "text": "a cast"}, {"title": "a film a", "text": "cast"}]
    prompts = compiled.encode(examples)
    assert prompts[0].left == prompts[1].left
    assert prompts[0].late_positions != prompts[1].late_positions
    with backbone.frozen(), torch.no_grad():
        scores = scorer.batch(prompts, soft)
        assert_same(scores, torch.cat([scorer.batch([prompt], soft) for prompt in prompts]))
    assert (scores[0] - scores[1]).abs().max() > 1e-3


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_the_whole_vocabulary_is_scored_with_them(architecture):
    backbone = models.backbone(architecture)
    compiled, scorer = compiled_with(backbone, AFTER)
    soft = vectors_of(compiled, backbone).inputs()
    (prompt,) = compiled.encode(TEXTS[:1], answer_length=3)
    with backbone.frozen(), torch.no_grad():
        words, _ = log_probabilities(backbone, prompt, scorer.words, soft)
        expected = scorer.batch([prompt], soft)
    torch.testing.assert_close(words.float().log_softmax(-1), expected[0].log_softmax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "source", ["«<soft from=text layers=1>» <text> <mask>", "<mask> <text> «<soft from=text layers=1>»"]
)
def test_a_causal_model_has_to_have_read_the_field(source):
    start, end = source.index("«"), source.index("»") - 1
    template = source.replace("«", "").replace("»", "")
    words = {"pos": "good", "neg": "bad"}
    with pytest.raises(TemplateSyntaxError, match="the slot has to stand after the field") as caught:
        PromptClassifier(models.backbone("gpt2"), template, words).fit(TEXTS[:2], ["pos", "neg"])
    assert (caught.value.start, caught.value.end) == (start, end)
    assert caught.value.code == "soft-from"
