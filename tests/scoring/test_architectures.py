"""Invariant 6: scores are those of plain transformers with one example at a time, no padding and all logits."""

import pytest
import torch
from support import models
from support.reference_scores import SLOTS, assert_same, make_scorer, random_prompts, score_sets, soft_vectors

from softcloze.backbone import SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.scoring import compute_features

WORDS = {
    "one token": [(20,), (31,), (42,)],
    "several tokens": [(20, 21, 22), (31, 32, 33)],
    "mixed lengths": [(20,), (31, 32), (42, 43, 44), (50,)],
    "shared beginnings": [(20, 21), (20, 22), (20, 21, 23), (31, 21)],
}


def expected_scores(backbone, prompts, words, soft=None):
    mask_id = backbone.prompt_tokenizer.mask_id
    with torch.no_grad():
        return torch.stack([models.word_scores(backbone.model, p, words, soft, mask_id) for p in prompts])


@pytest.mark.parametrize("right", [False, True], ids=["end", "text behind"])
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_word_scores(architecture, words, right):
    backbone = models.backbone(architecture)
    prompts = random_prompts([9, 3, 14, 1], right=right or architecture in models.MASKED)
    expected = expected_scores(backbone, prompts, words)
    assert expected.log_softmax(-1).std(0).max() > 0.05  # else nothing would be compared
    scores = compute_features(make_scorer(backbone, words, right=right), prompts, None)
    assert_same(scores, expected)


@pytest.mark.parametrize("words", [WORDS["one token"], WORDS["mixed lengths"]], ids=["one token", "mixed lengths"])
def test_scores_by_length(architecture, words):
    backbone = models.backbone(architecture)
    right = architecture in models.MASKED
    prompts = random_prompts([9, 3, 14, 1], right=right)
    lengths = [5, 1, 2, 3][: len(words)]
    expected = expected_scores(backbone, prompts, words) / torch.tensor(lengths)
    scores = compute_features(make_scorer(backbone, words, right=right, lengths=lengths), prompts, None)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("slots", SLOTS.values(), ids=SLOTS)
def test_soft_vectors_anywhere(architecture, slots):
    backbone = models.backbone(architecture)
    soft = soft_vectors(backbone, 5)
    prompts = random_prompts([6, 11, 5], slots=slots, right=True)
    words = WORDS["mixed lengths"]
    expected = expected_scores(backbone, prompts, words, soft)
    assert_same(compute_features(make_scorer(backbone, words, right=True), prompts, SoftInputs(soft)), expected)
    if slots[0]:
        other = expected_scores(backbone, prompts, words, soft_vectors(backbone, 5, seed=1))
        assert (other.log_softmax(-1) - expected.log_softmax(-1)).abs().max() > 0.01


@pytest.mark.parametrize("architecture", list(models.CAUSAL))
def test_soft_vectors_of_a_prompt_that_ends_with_the_mask(architecture):
    backbone = models.backbone(architecture)
    soft = soft_vectors(backbone, 4)
    prompts = random_prompts([6, 11, 5], slots=((0, 3, 3, -1), ()), right=False)
    for words in (WORDS["one token"], WORDS["shared beginnings"]):
        expected = expected_scores(backbone, prompts, words, soft)
        assert_same(compute_features(make_scorer(backbone, words, right=False), prompts, SoftInputs(soft)), expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_side_and_company_do_not_matter(architecture, side):
    backbone = models.backbone(architecture, side)
    assert backbone.tokenizer.padding_side == side
    soft = soft_vectors(backbone, 3)
    right = architecture in models.MASKED
    prompts = random_prompts([2, 25, 7, 13, 7, 1], slots=((0, 1, 2), ()), right=right)
    words = WORDS["mixed lengths"]
    scorer = make_scorer(backbone, words, right=right)
    together = compute_features(scorer, prompts, SoftInputs(soft))
    with torch.no_grad():
        alone = torch.cat([scorer.batch([prompt], SoftInputs(soft)) for prompt in prompts])
        reversed_pairs = torch.cat(
            [scorer.batch(prompts[i : i + 2][::-1], SoftInputs(soft)).flip(0) for i in (0, 2, 4)]
        )
    assert_same(together, expected_scores(backbone, prompts, words, soft))
    assert_same(alone, together)
    assert_same(reversed_pairs, together)


def test_a_cut_head_gives_the_same_scores(architecture):
    backbone = models.backbone(architecture)
    rows = [[8, 9, 10, 11], [12, 13]]
    positions = [[1, 3], [1]]
    columns = torch.tensor([3, 17, 40, 101])
    with torch.no_grad():
        full = backbone.outputs(rows, positions).logits
        cut = backbone.outputs(rows, positions, vocab_ids=columns).logits
        expected = torch.cat(
            [models.logits_of(backbone.model, row)[at] for row, at in zip(rows, positions, strict=True)]
        )
    assert cut.shape == (3, 4)
    torch.testing.assert_close(full, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cut, expected[..., columns], atol=1e-4, rtol=1e-4)


def test_nothing_is_left_behind_in_the_model(architecture):
    backbone = models.backbone(architecture)
    head = backbone.model.get_output_embeddings()
    names = [name for name, _ in backbone.model.named_parameters(remove_duplicate=False)]
    before = models.logits_of(backbone.model, [8, 9, 10])
    for columns in (None, torch.tensor([3, 4])):
        backbone.outputs([[8, 9]], [[1]], vocab_ids=columns)
        with pytest.raises(IndexError, match="out of bounds"):
            backbone.outputs([[8, 9]], [[7]], vocab_ids=columns)
    assert not head._forward_pre_hooks
    assert [name for name, _ in backbone.model.named_parameters(remove_duplicate=False)] == names
    assert torch.equal(models.logits_of(backbone.model, [8, 9, 10]), before)


@pytest.mark.parametrize("architecture", list(models.CAUSAL))
@pytest.mark.parametrize("right", [False, True], ids=["end", "text behind"])
def test_a_beginning_read_once_for_all(architecture, right):
    backbone = models.backbone(architecture)
    soft = soft_vectors(backbone, 3)
    start = random_prompts([21], slots=((0, 1, 12), ()), right=False, seed=1)[0].left
    ends = random_prompts([1, 13, 5, 2], right=right, seed=2)
    prompts = [EncodedPrompt(start + prompt.left, prompt.right, {}) for prompt in ends]
    for words in (WORDS["one token"], WORDS["mixed lengths"]):
        expected = expected_scores(backbone, prompts, words, soft)
        assert_same(compute_features(make_scorer(backbone, words, right=right), prompts, SoftInputs(soft)), expected)
    assert backbone.supports_prefix_cache


@pytest.mark.parametrize("architecture", list(models.CAUSAL))
def test_a_beginning_that_is_a_whole_prompt(architecture):
    backbone = models.backbone(architecture)
    (whole,) = random_prompts([12], right=False)
    prompts = [EncodedPrompt(whole.left[:n], (), {}) for n in (1, 2, 11, 12)]
    words = WORDS["shared beginnings"]
    scorer = make_scorer(backbone, words, right=False)
    assert_same(compute_features(scorer, prompts, None), expected_scores(backbone, prompts, words))
    twice = [prompts[2], prompts[2]]
    assert_same(compute_features(scorer, twice, None), expected_scores(backbone, twice, words))


@pytest.mark.parametrize("slots", [((20, 20, -1), ()), ((-1,), (0, 2))])
def test_several_sets_of_vectors_in_one_pass(architecture, slots):
    backbone = models.backbone(architecture)
    softs = [soft_vectors(backbone, 3, seed) for seed in range(2)]
    prompts = random_prompts([3, 24, 9], slots=slots, right=True)
    words = WORDS["mixed lengths"]
    scores = score_sets(make_scorer(backbone, words, right=True), prompts, softs)
    for scored, soft in zip(scores, softs, strict=True):
        assert_same(scored, expected_scores(backbone, prompts, words, soft))


@pytest.mark.parametrize("architecture", list(models.CAUSAL))
@pytest.mark.parametrize("right", [False, True], ids=["end", "text behind"])
def test_gradients_behind_a_beginning_read_before(architecture, right):
    backbone = models.backbone(architecture)
    prompts = random_prompts([3, 24, 9, 14], slots=((-1, -1), ()), right=right)
    words = WORDS["mixed lengths"]
    scorer = make_scorer(backbone, words, right=right)
    gradients = []
    with backbone.frozen():
        for prefix in (None, scorer.cache_prefixes(prompts, 2**30)):
            soft = soft_vectors(backbone, 2).requires_grad_()
            scorer.batch(prompts, SoftInputs(soft), prefix, range(4)).log_softmax(-1)[:, 0].sum().backward()
            gradients.append(soft.grad)
    reference = soft_vectors(backbone, 2).requires_grad_()
    mask_id = backbone.prompt_tokenizer.mask_id
    for prompt in prompts:
        models.word_scores(backbone.model, prompt, words, reference, mask_id).log_softmax(-1)[0].backward()
    backbone.model.zero_grad()
    scale = reference.grad.abs().max()
    assert scale > 0
    for gradient in gradients:
        torch.testing.assert_close(gradient / scale, reference.grad / scale, atol=1e-4, rtol=1e-3)


def test_no_prompts(architecture):
    scorer = make_scorer(models.backbone(architecture), WORDS["one token"], right=True)
    assert score_sets(scorer, [], [None]).shape == (1, 0, 3)
