"""Scores of rules equal those of plain transformers: one sequence at a time, no padding, all logits."""

import math

import pytest
import torch
from support import models
from support.reference_scores import score_sets

from softcloze.backbone import SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.errors import EncodingError
from softcloze.heads import WordHead
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import Scorer, plan_rules
from softcloze.scoring.causal import CausalRules
from softcloze.scoring.masked import MaskedRules
from softcloze.scoring.plan import LogitRead, ModelInput
from softcloze.soft import SoftVectors
from softcloze.template import Template
from softcloze.verbalizer import RuleVerbalizer, Verbalizer

ARCHITECTURES = ["bert", "roberta", "gpt2", "llama"]
MASKED, CAUSAL = ["bert", "roberta"], ["gpt2", "llama"]
REVIEW = "<soft*2> <text> It was <mask name=quality>, and I <soft*2> liked the <mask name=part>"
RULES = {
    "one token": {
        "love": {"quality": "good", "part": "cast"},
        "story": {"quality": "good", "part": "story"},
        "hate": {"quality": "bad", "part": "story"},
    },
    "several tokens": {
        "love": {"quality": "a delight", "part": "acting"},
        "story": {"quality": "good", "part": "story and music"},
        "hate": {"quality": "really bad", "part": "story"},
    },
    "several words": {
        "love": {"quality": ["good", "great"], "part": ["cast", "acting", "music"]},
        "hate": {"quality": ["bad", "really bad"], "part": "cast"},
    },
}
TEMPLATES = [
    REVIEW,
    f"{REVIEW}, too.",
    "<text><sep>It was <mask name=quality>: <mask name=part> <soft*4>",
    "The <mask name=part> <text> <soft*4> 很 <mask name=quality>",
    "<soft*4> <text> <mask name=quality><mask name=part>",
]


def bind(backbone, source, rules):
    """The verbalizer on its template, the prompts, and random soft vectors."""
    bound = CompiledPrompt(Template(source), RuleVerbalizer(rules), backbone, None)
    prompts = bound.encode(models.SENTENCES[:5])
    dice = torch.Generator().manual_seed(0)
    noise = torch.randn(bound.template.soft_count, backbone.width, generator=dice) * backbone.embedding_rms
    return bound, prompts, SoftVectors(bound.template.blocks, noise)


def filled(prompt, words):
    """A sequence with ids at the masks, and the position where each of them begins."""
    row, starts = list(prompt.left), []
    for ids, piece in zip(words, prompt.chunks[1:], strict=True):
        starts.append(len(row))
        row += [*ids, *piece]
    return row, starts


def logs(backbone, ids, token_type_ids, soft):
    """All log-probabilities of one sequence."""
    embed = backbone.model.get_input_embeddings()
    rows = [soft[-1 - i].to(embed.weight.dtype) if i < 0 else embed(torch.tensor(i)) for i in ids]
    more = (
        {}
        if token_type_ids is None or not backbone.uses_token_types
        else {"token_type_ids": torch.tensor([token_type_ids])}
    )
    return backbone.model(inputs_embeds=torch.stack(rows)[None], **more).logits[0].float().log_softmax(-1)


def token_type_ids_of(prompt, words):
    if prompt.token_type_ids is None:
        return None
    token_type_ids, at = [], 0
    for ids, piece in zip([*words, ()], prompt.chunks, strict=True):
        token_type_ids += prompt.token_type_ids[at : at + len(piece)]
        at += len(piece)
        token_type_ids += prompt.token_type_ids[at : at + 1] * len(ids)
        at += 1
    return token_type_ids


def masked_scores(backbone, prompt, rules, words, names, soft):
    """log P(label), each mask's words normalised over its own word set, as in the paper."""
    mask_id = backbone.prompt_tokenizer.mask_id
    sets = {name: {w for rule in rules.values() for w in listed(rule[name])} for name in names}
    shortest = {name: min(len(words[name, w]) for w in sets[name]) for name in names}
    found = {}
    for at, name in enumerate(names):
        for word in sets[name]:
            ids = words[name, word]
            lengths = [shortest[other] for other in names]
            lengths[at] = len(ids)
            fill = [[mask_id] * length for length in lengths]
            row, starts = filled(prompt, fill)
            all_logs = logs(backbone, row, token_type_ids_of(prompt, fill), soft)
            found[name, word] = sum(all_logs[starts[at] + k, token] for k, token in enumerate(ids))
        whole = torch.stack([found[name, word] for word in sets[name]]).logsumexp(0)
        for word in sets[name]:
            found[name, word] = found[name, word] - whole
    scores = []
    for label in sorted(rules):
        parts = [torch.stack([found[name, word] for word in listed(rules[label][name])]) for name in names]
        scores.append(sum(part.logsumexp(0) - math.log(len(part)) for part in parts))
    return torch.stack(scores)


def causal_scores(backbone, prompt, rules, words, names, soft):
    """log P(label's words and the text from the first mask on), the mean over the ways to say it."""
    scores = []
    for label in sorted(rules):
        ways = [()]
        for name in names:
            ways = [(*way, words[name, word]) for way in ways for word in listed(rules[label][name])]
        parts = []
        for way in ways:
            row, _ = filled(prompt, way)
            all_logs = logs(backbone, row, token_type_ids_of(prompt, way), soft)
            parts.append(sum(all_logs[p - 1, row[p]] for p in range(len(prompt.left), len(row)) if row[p] >= 0))
        scores.append(torch.stack(parts).logsumexp(0) - math.log(len(parts)))
    return torch.stack(scores)


def listed(words):
    return [words] if isinstance(words, str) else words


def expected_scores(bound, prompts, rules, soft):
    backbone = bound.scorer.backbone
    names = [mask.name for mask in bound.template.template.masks]
    words = {
        (name, word): bound.template.word_ids(word, name)
        for rule in rules.values()
        for name in names
        for word in listed(rule[name])
    }
    score = masked_scores if backbone.family == "masked" else causal_scores
    return torch.stack([score(backbone, prompt, rules, words, names, soft) for prompt in prompts]), words


def assert_as_expected(backbone, source, rules):
    bound, prompts, soft = bind(backbone, source, rules)
    with torch.no_grad():
        expected, words = expected_scores(bound, prompts, rules, soft.weight)
    expected = expected.log_softmax(-1)
    assert expected.std(0).max() > 0.01  # else nothing would be compared
    found = WordHead(bound.verbalizer).label_scores(bound.features(prompts, soft)).log_softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    return words


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("source", TEMPLATES)
@pytest.mark.parametrize("name", [*ARCHITECTURES, "albert", "gemma3_text"])
def test_scores_are_those_of_plain_transformers(name, source, rules):
    if "<sep>" in source and models.backbone(name).tokenizer.sep_token is None:
        source = source.replace("<sep>", " ")
    assert_as_expected(models.backbone(name), source, rules)


ENGLISH = "<soft*3> <text> It was <mask name=quality>, and I would <mask name=advice> it."
OF_REVIEWS = {
    "praise": {"quality": ["good", "great"], "advice": "recommend"},
    "warning": {"quality": "bad", "advice": "avoid"},
    "guilty pleasure": {"quality": "bad", "advice": "highly recommend"},
}


def test_bert_tiny(bert_tiny):
    words = assert_as_expected(bert_tiny, ENGLISH, OF_REVIEWS)
    assert {len(ids) for ids in words.values()} == {1, 2}


SAME = {"good": ["good", "a delight"], "bad": "bad", "other": ["dull film", "great"]}


@pytest.mark.parametrize("behind", ["", ".", " <soft> film."])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_named_mask_is_as_good_as_one_without_a_name(architecture, behind):
    backbone = models.backbone(architecture)
    scores = []
    for mask, verbalizer in [
        ("<mask>", Verbalizer(SAME)),
        ("<mask name=quality>", Verbalizer(SAME)),
        ("<mask name=quality>", RuleVerbalizer({label: {"quality": words} for label, words in SAME.items()})),
    ]:
        bound = CompiledPrompt(Template(f"<text> It <soft> was {mask}{behind}"), verbalizer, backbone, None)
        weight = torch.linspace(-1, 1, bound.template.soft_count * backbone.width).view(-1, backbone.width)
        prompts = bound.encode(models.SENTENCES[:6])
        soft = SoftVectors(bound.template.blocks, weight)
        scores.append(WordHead(bound.verbalizer).label_scores(bound.features(prompts, soft)).log_softmax(-1))
    assert torch.equal(scores[0], scores[1])
    torch.testing.assert_close(scores[2], scores[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batches_and_padding_do_not_change_scores(architecture, rules):
    bound, prompts, soft = bind(models.backbone(architecture, "left"), REVIEW, rules)
    with torch.no_grad():
        alone = torch.cat([bound.scorer.batch([prompt], SoftInputs(soft.weight)) for prompt in prompts])
        together = bound.scorer.batch(prompts, SoftInputs(soft.weight))
        prefix = bound.scorer.cache_prefixes(prompts, 2**30)
        behind = (
            together
            if prefix is None
            else bound.scorer.batch(prompts, SoftInputs(soft.weight), prefix, range(len(prompts)))
        )
    cached = score_sets(bound.scorer, prompts, [soft.weight, soft.weight])
    for scores in (together, behind, cached[0], cached[1]):
        torch.testing.assert_close(scores.log_softmax(-1), alone.log_softmax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_reach_every_slot_and_are_those_of_plain_transformers(architecture):
    backbone = models.backbone(architecture)
    rules = RULES["several tokens"]
    bound, prompts, soft = bind(backbone, "<soft> <text> <soft> <mask name=quality><soft> and <mask name=part>.", rules)
    with backbone.frozen():
        scores = bound.verbalizer.label_scores(bound.scorer.batch(prompts, SoftInputs(soft.weight)))
        scores.log_softmax(-1)[:, 0].sum().backward()
        reference = soft.weight.detach().clone().requires_grad_()
        expected_scores(bound, prompts, rules, reference)[0].log_softmax(-1)[:, 0].sum().backward()
    gradient, expected = soft.weight.grad, reference.grad
    assert (expected.abs().amax(-1) > 0).all()
    torch.testing.assert_close(gradient / expected.abs().max(), expected / expected.abs().max(), atol=1e-4, rtol=1e-3)


PROMPT = EncodedPrompt((5, -1), (9,), {}, token_type_ids=(0, 0, 0, 1, 1, 1, 1), between=((7, 8),))


def test_sequences_of_a_masked_model():
    plan = MaskedRules([((20,), (30,)), ((21,), (30,)), ((20,), (31, 32))], mask_id=4)
    assert plan.normalised
    one, two = plan.model_inputs(PROMPT)
    assert (one.ids, one.token_type_ids) == ((5, -1, 4, 7, 8, 4, 9), (0, 0, 0, 1, 1, 1, 1))
    assert set(one.reads) == {
        LogitRead(2, 20, 0),
        LogitRead(2, 21, 1),
        LogitRead(2, 20, 2),
        LogitRead(5, 30, 0),
        LogitRead(5, 30, 1),
    }
    reads = (LogitRead(5, 31, 2), LogitRead(6, 32, 2))
    assert two == ModelInput((5, -1, 4, 7, 8, 4, 4, 9), reads, (0, 0, 0, 1, 1, 1, 1, 1))


def test_words_of_two_tokens_need_one_sequence():
    plan = MaskedRules([((20, 21), (30,)), ((22, 23), (31,))], mask_id=4)
    assert not plan.normalised
    (row,) = plan.model_inputs(PROMPT)
    assert row.ids == (5, -1, 4, 4, 7, 8, 4, 9)


def test_sequences_of_a_causal_model_are_shared_if_only_the_last_word_differs():
    conjunctions = [((20,), (30,)), ((20,), (31, 32)), ((21,), (30,)), ((20,), (31, 33))]
    plan = CausalRules(conjunctions, has_right=False)
    ends = EncodedPrompt((5, -1), (), {}, between=((7, -2, 8),))
    rows = plan.model_inputs(ends)
    assert (
        sorted(row.ids for row in rows) == [(5, -1, 20, 7, -2, 8), (5, -1, 20, 7, -2, 8, 31), (5, -1, 21, 7, -2, 8)][1:]
    )
    assert len(CausalRules(conjunctions, has_right=True).model_inputs(PROMPT)) == 4
    of_the_second = {(read.position, read.token) for row in rows for read in row.reads if read.column == 1}
    assert of_the_second == {(1, 20), (2, 7), (4, 8), (5, 31), (6, 32)}


def test_a_causal_model_needs_something_before_the_first_mask():
    backbone = models.backbone("gpt2")
    bound = CompiledPrompt(
        Template("<mask name=quality> <text> <mask name=part>"), RuleVerbalizer(RULES["one token"]), backbone, None
    )
    with pytest.raises(EncodingError, match="nothing stands before <mask>"):
        bound.features(bound.encode(["x"]), None)


def test_no_prompts():
    backbone = models.backbone("bert")
    plan = plan_rules(backbone, [((20,), (21,)), ((22,), (21,))], has_right=False)
    assert score_sets(Scorer(backbone, plan), [], [None]).shape == (1, 0, 2)
