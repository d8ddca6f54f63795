"""Decoding of words of several tokens by masked models, against plain transformers: one word and prompt at a time."""

from typing import get_args

import pytest
import torch
from support import models
from support.reference_scores import (
    SLOTS,
    assert_same,
    filled_score,
    inputs_of,
    logits_at_masks,
    make_scorer,
    random_prompts,
    score_sets,
    soft_vectors,
    word_scorer,
)

from softcloze.backbone import SoftInputs
from softcloze.backbone.batching import MAX_BATCH_TOKENS
from softcloze.encoding import CompiledTemplate
from softcloze.scoring import compute_features
from softcloze.template import Template
from softcloze.verbalizer import Decoding

DECODINGS = get_args(Decoding)
IN_TURN = ("left_to_right", "most_confident")
MASKED = ("bert", "roberta", "albert")
# some begin alike, some have a token twice, one is a part of another
WORDS = [(20,), (31, 32), (31, 33), (40, 41, 42), (40, 41, 43), (50, 51, 51, 52), (31,), (40, 41), (60, 61, 62, 60)]


def expected_scores(backbone, prompts, words, decoding, soft=None):
    with torch.no_grad():
        return torch.stack(
            [torch.stack([filled_score(backbone, p, word, decoding, soft) for word in words]) for p in prompts]
        )


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def orders(backbone, prompts, word):
    """The position of `word` that is filled in first, in each prompt."""
    with torch.no_grad():
        masks = [backbone.prompt_tokenizer.mask_id] * len(word)
        logs = [logits_at_masks(backbone, p, masks).log_softmax(-1) for p in prompts]
    return {int(own[range(len(word)), list(word)].argmax()) for own in logs}


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("slots", SLOTS.values(), ids=SLOTS)
@pytest.mark.parametrize("architecture", MASKED)
def test_every_decoding(architecture, slots, decoding):
    backbone = models.backbone(architecture)
    soft = soft_vectors(backbone, 5)
    prompts = random_prompts([9, 6, 14], slots=slots, right=True)
    found = compute_features(make_scorer(backbone, WORDS, right=True, decoding=decoding), prompts, SoftInputs(soft))
    close(found, expected_scores(backbone, prompts, WORDS, decoding, soft))


@pytest.mark.parametrize("architecture", MASKED)
def test_the_fillings_differ(architecture):
    """Otherwise the tests here would compare nothing."""
    backbone = models.backbone(architecture)
    prompts = random_prompts([9, 3, 14, 1, 5, 7, 11], right=True)
    assert len(orders(backbone, prompts, (40, 41, 42))) > 1
    together, ltr, confident = (expected_scores(backbone, prompts[:2], WORDS, decoding) for decoding in DECODINGS)
    several = [len(word) > 1 for word in WORDS]
    for one, other in ((together, ltr), (ltr, confident), (confident, together)):
        assert (one - other)[:, several].abs().max() > 0.1
        assert torch.equal(one[:, [0, 6]], other[:, [0, 6]])


@pytest.mark.parametrize("decoding", IN_TURN)
@pytest.mark.parametrize("words", [[(20, 21), (20, 22)], [(20, 21), (30, 31), (21, 20)]], ids=["one path", "two paths"])
def test_words_of_one_length(words, decoding):
    backbone = models.backbone("bert")
    prompts = random_prompts([9, 3], right=True)
    found = compute_features(make_scorer(backbone, words, right=True, decoding=decoding), prompts, None)
    assert_same(found, expected_scores(backbone, prompts, words, decoding))


@pytest.mark.parametrize("decoding", IN_TURN)
def test_scores_by_length(decoding):
    backbone = models.backbone("roberta")
    prompts, lengths = random_prompts([9, 3], right=True), [len(word) for word in WORDS]
    found = compute_features(
        make_scorer(backbone, WORDS, right=True, lengths=lengths, decoding=decoding), prompts, None
    )
    close(found, expected_scores(backbone, prompts, WORDS, decoding) / torch.tensor(lengths))


@pytest.mark.parametrize("architecture", MASKED)
def test_words_of_one_token_are_scored_alike(architecture):
    backbone = models.backbone(architecture)
    prompts, words = random_prompts([9, 3, 14], right=True), [(20,), (31,), (42,)]
    together, *others = (
        score_sets(make_scorer(backbone, words, right=True, decoding=decoding), prompts, [None])
        for decoding in DECODINGS
    )
    assert all(torch.equal(other, together) for other in others)


@pytest.mark.parametrize("right", [False, True], ids=["end", "text behind"])
def test_causal_models_go_from_left_to_right_whatever_is_said(right):
    backbone, prompts = models.backbone("llama"), random_prompts([9, 3, 14], right=right)
    together, *others = (
        score_sets(make_scorer(backbone, WORDS, right=right, decoding=decoding), prompts, [None])
        for decoding in DECODINGS
    )
    assert all(torch.equal(other, together) for other in others)


@pytest.mark.parametrize("decoding", IN_TURN)
@pytest.mark.parametrize("architecture", MASKED)
def test_company_does_not_matter(architecture, decoding):
    backbone = models.backbone(architecture)
    soft = soft_vectors(backbone, 3)
    prompts = random_prompts([2, 25, 7, 13, 7, 1], slots=((0, 1, 2), ()), right=True)
    scorer = make_scorer(backbone, WORDS, right=True, decoding=decoding)
    together = compute_features(scorer, prompts, SoftInputs(soft))
    with torch.no_grad():
        alone = torch.cat([scorer.batch([prompt], SoftInputs(soft)) for prompt in prompts])
        pairs = torch.cat([scorer.batch(prompts[i : i + 2][::-1], SoftInputs(soft)).flip(0) for i in (0, 2, 4)])
    close(alone, together)
    close(pairs, together)
    fewer = compute_features(
        make_scorer(backbone, WORDS[3:6], right=True, decoding=decoding), prompts, SoftInputs(soft)
    )
    assert_same(fewer, together[:, 3:6])


def passes(monkeypatch, backbone, prompts, words, decoding):
    """The number of sequences in each forward pass that scores `prompts`."""
    seen = []
    whole = type(backbone).outputs

    def outputs(self, rows, *arguments, **options):
        seen.append(list(rows))
        return whole(self, rows, *arguments, **options)

    monkeypatch.setattr(type(backbone), "outputs", outputs)
    score_sets(make_scorer(backbone, words, right=True, decoding=decoding), prompts, [None])
    return seen


@pytest.mark.parametrize(
    ("decoding", "expected"), [("together", [4]), ("left_to_right", [14]), ("most_confident", [4, 7, 4, 2])]
)
def test_rows_and_passes(monkeypatch, decoding, expected):
    """All words of all prompts take one forward pass, or one for each token, and shared sequences are computed once."""
    backbone, prompts = models.backbone("bert"), random_prompts([9, 6, 14], right=True)
    found = passes(monkeypatch, backbone, prompts, WORDS, decoding)
    assert len(found) == len(expected)
    for rows, most in zip(found, expected, strict=True):
        assert len({tuple(row) for row in rows}) == len(rows)
        if decoding == "most_confident":  # some may have the same filled in
            assert len(rows) <= 3 * most
        else:
            assert len(rows) == 3 * most


@pytest.mark.parametrize("decoding", DECODINGS)
def test_no_pass_is_larger_than_a_batch_may_be(monkeypatch, decoding):
    backbone, prompts = models.backbone("bert"), random_prompts([30] * 60, right=True)
    found = passes(monkeypatch, backbone, prompts, WORDS, decoding)
    sizes = [len(rows) * max(map(len, rows)) for rows in found]
    assert max(sizes) <= MAX_BATCH_TOKENS
    assert max(sizes) > MAX_BATCH_TOKENS / 2


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("architecture", MASKED)
def test_gradients(architecture, decoding):
    backbone = models.backbone(architecture)
    prompts = random_prompts([3, 14, 9], slots=((0, -1), (1,)), right=True)
    found, expected = (soft_vectors(backbone, 3).requires_grad_() for _ in range(2))
    with backbone.frozen():
        scores = make_scorer(backbone, WORDS, right=True, decoding=decoding).batch(prompts, SoftInputs(found))
        scores.log_softmax(-1)[:, 5].sum().backward()
        for prompt in prompts:
            scores = torch.stack([filled_score(backbone, prompt, word, decoding, expected) for word in WORDS])
            scores.log_softmax(-1)[5].backward()
    scale = expected.grad.abs().max()
    assert expected.grad.abs().amax(-1).min() > 0
    torch.testing.assert_close(found.grad / scale, expected.grad / scale, atol=1e-4, rtol=1e-3)


ENGLISH = ["A delight from the first scene to the last.", "Dull."]
CHINESE = ["酒店的房间很干净，服务也好！", "手机用了两天就坏了。"]
ENGLISH_WORDS = ["good", "bad", "really good", "really bad", "not too bad", "well worth a look"]
CHINESE_WORDS = ["好", "差", "很好", "满意", "太差了", "质量不错"]
TEXTS = [
    ("bert-tiny", "<text> It was <mask>.", ENGLISH, ENGLISH_WORDS),
    ("bert-tiny", "<soft*3> <text> In all, it was <mask> <soft*2>, I think.", ENGLISH, ENGLISH_WORDS),
    ("bert", "<mask>: <text>", ENGLISH, ENGLISH_WORDS),
    ("bert", "<text> 总之，<soft*2><mask>。", CHINESE, CHINESE_WORDS),
    ("roberta", "<text> 总之，很<mask>，<soft>下次还来。", CHINESE, ["好", "不", "很好", "满意"]),
    ("albert", "<soft*2><text><sep>总之，<mask>。", CHINESE, CHINESE_WORDS),
    ("albert", "<text><sep>It was <mask><soft>.", ENGLISH, ENGLISH_WORDS),
    ("bert", "<text> It was <mask*2>.", ENGLISH, ["really good", "really bad"]),
    ("bert", "<text> 总之，<mask*4>。", CHINESE, ["值得一看", "质量不错"]),
]


@pytest.mark.parametrize("decoding", IN_TURN)
@pytest.mark.parametrize(("name", "source", "texts", "words"), TEXTS, ids=[f"{name} {s}" for name, s, _, _ in TEXTS])
def test_real_text(name, source, texts, words, decoding, bert_tiny):
    backbone = bert_tiny if name == "bert-tiny" else models.backbone(name)
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, backbone.max_length)
    ids = [compiled.word_ids(word) for word in words]
    assert max(map(len, ids)) > 1
    prompts = compiled.encode(texts, answer_length=max(map(len, ids)))
    assert (prompts[0].token_type_ids is not None) == ("<sep>" in source)
    soft = soft_vectors(backbone, compiled.soft_count) if compiled.soft_count else None
    found = compute_features(word_scorer(backbone, compiled, ids, decoding=decoding), prompts, inputs_of(soft))
    assert_same(found, expected_scores(backbone, prompts, ids, decoding, soft))
