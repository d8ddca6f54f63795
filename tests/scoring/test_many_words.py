"""Many label words: a prompt is computed once for all of them, and scores stay those of plain transformers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import models
from support.properties import cases
from support.reference_scores import assert_same, make_scorer, random_prompts, soft_vectors

from softcloze.backbone import SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.scoring import compute_features, log_softmax
from softcloze.scoring.log_softmax import gather_log_softmax

# four of one token and eight of two, some with a common first token
TWELVE = [*((20 + k,) for k in range(4)), *((30 + k // 2, 40 + k) for k in range(8))]
IDS = st.integers(5, 60)


def expected_scores(backbone, prompts, words, soft=None):
    return torch.stack([models.word_scores(backbone.model, prompt, words, soft) for prompt in prompts])


def tokens_computed(backbone, run):
    """The result of `run`, and the number of tokens that the model computed, padding left out."""
    inputs, computed = backbone._forward.inputs, []
    assert backbone.can_pack  # which is found by computing a few tokens
    padded = inputs.padded
    inputs.padded = lambda sequences, *given: (computed.append(sum(map(len, sequences))), padded(sequences, *given))[1]
    try:
        return run(), sum(computed)
    finally:
        del inputs.padded


@pytest.mark.parametrize("starts", [0, 20], ids=["nothing in common", "a common start"])
def test_each_prompt_is_computed_once_for_all_words(starts):
    backbone = models.backbone("llama")
    start = tuple(range(100, 100 + starts))
    prompts = [EncodedPrompt((*start, *p.left), (), {}) for p in random_prompts([9, 8, 11, 7], right=False)]
    scorer = make_scorer(backbone, TWELVE, right=False)
    scores, computed = tokens_computed(backbone, lambda: compute_features(scorer, prompts, None))
    branches = 4  # the first tokens of the words of two, each once
    assert computed <= starts + sum(len(prompt.left) - starts for prompt in prompts) + len(prompts) * branches
    with torch.no_grad():
        assert_same(scores, expected_scores(backbone, prompts, TWELVE))


@pytest.mark.parametrize("right", [False, True], ids=["end", "text after"])
@pytest.mark.parametrize("slots", [((0, 1), ()), ((2,), ())], ids=["a common start", "nothing in common"])
def test_a_training_step_computes_each_prompt_once(slots, right):
    backbone = models.backbone("llama")
    prompts = random_prompts([9, 8, 11], slots=slots, right=right)
    words = TWELVE[2:6] if right else TWELVE  # so that a prompt with all of them fits the model's window
    scorer = make_scorer(backbone, words, right=right)
    soft, reference = (soft_vectors(backbone, 2).requires_grad_() for _ in range(2))
    with backbone.frozen():
        scores, computed = tokens_computed(backbone, lambda: scorer.batch(prompts, SoftInputs(soft)))
        scores.log_softmax(-1)[:, :3].sum().backward()
    assert computed <= sum(scorer.packed_length(prompt) for prompt in prompts)
    expected = expected_scores(backbone, prompts, words, reference)
    expected.log_softmax(-1)[:, :3].sum().backward()
    backbone.model.zero_grad()
    assert_same(scores.detach(), expected.detach())
    scale = reference.grad.abs().max()
    assert scale > 0
    torch.testing.assert_close(soft.grad / scale, reference.grad / scale, atol=1e-4, rtol=1e-3)


@given(
    words=st.lists(st.lists(IDS, min_size=1, max_size=3).map(tuple), min_size=2, max_size=9, unique=True),
    lefts=st.lists(st.lists(IDS, min_size=1, max_size=14).map(tuple), min_size=1, max_size=4),
    right=st.lists(IDS, max_size=3).map(tuple),
    start=st.sampled_from([(), (7,), tuple(range(60, 78))]),
    architecture=st.sampled_from(["llama", "gpt2", "gemma3_text", "bloom"]),
)
@cases(5)
def test_scores_of_any_words_and_texts(words, lefts, right, start, architecture):
    backbone = models.backbone(architecture)
    prompts = [EncodedPrompt((*start, *left), right, {}) for left in lefts]
    scorer = make_scorer(backbone, words, right=bool(right))
    with torch.no_grad():
        expected = expected_scores(backbone, prompts, words)
        assert_same(scorer.batch(prompts, None), expected)
    assert_same(compute_features(scorer, prompts, None), expected)


def test_a_prompt_longer_than_a_tree_is_computed_once_in_training():
    backbone = models.new_backbone("llama")
    backbone.max_length = 400
    (prompt,) = random_prompts([300], right=False)
    scorer = make_scorer(backbone, TWELVE, right=False)
    with backbone.frozen(), torch.no_grad():
        scores, computed = tokens_computed(backbone, lambda: scorer.batch([prompt], None))
        assert computed == scorer.packed_length(prompt) == 300 + 4
        assert_same(scores, expected_scores(backbone, [prompt], TWELVE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_log_softmax_at_a_few_tokens(dtype, monkeypatch):
    monkeypatch.setattr(log_softmax, "PART_NUMBERS", 22)  # two positions at a time
    dice = torch.Generator().manual_seed(0)
    logits, plain = ((torch.randn(5, 11, generator=dice.manual_seed(0)) * 9).to(dtype).requires_grad_() for _ in "ab")
    index, token = torch.tensor([0, 3, 3, 3, 1]), torch.tensor([2, 0, 7, 7, 10])
    weights = torch.randn(5, generator=dice)
    values = gather_log_softmax(logits, index, token)
    expected = plain.float().log_softmax(-1)[index, token]
    torch.testing.assert_close(values, expected)
    (values * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(logits.grad, plain.grad)
