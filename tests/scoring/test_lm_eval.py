"""Label words of causal models get the log-likelihoods that lm-eval's harness gives the same strings.

What has to agree for that: both put in front what the tokenizer itself does (Gemma's <bos>, nothing for SmolLM2), both
give white space at the end of the context to the continuation, and no token may span the two. Where one does, as 很好
does in Gemma's vocabulary, the harness finds no token of 好 behind 很, while we score 好 as it stands there.
"""

from copy import deepcopy

import pytest
from support.reference_scores import word_scorer
from torch import tensor
from torch.testing import assert_close

from softcloze.encoding import CompiledTemplate
from softcloze.scoring import compute_features
from softcloze.template import Template

ENGLISH = ["A delight from the first scene to the last.", "Dull."]
CHINESE = ["酒店的房间很干净，服务也好！", "太差"]
ENGLISH_WORDS = ["good", "bad", "really good", "a waste of time", "a waste of money"]
CHINESE_WORDS = ["满意", "失望", "让人满意", "让人失望", "令人难忘"]
CASES = [
    ("Review: <text>\nIn all, it was <mask>", ENGLISH, ENGLISH_WORDS),
    ("<text> It was <mask>, I think.", ENGLISH, ENGLISH_WORDS),
    ("<text> 总之，很<mask>", CHINESE, CHINESE_WORDS),
    ("<text> 总之，<mask>。", CHINESE, CHINESE_WORDS),
]


@pytest.fixture
def harness(monkeypatch):
    """lm-eval's wrapper of models of transformers."""
    monkeypatch.setenv("HF_XET_HIGH_PERFORMANCE", "0")  # which lm-eval sets for the whole process
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    class Harness:
        def __init__(self, backbone):
            # a copy, since padding is set in it
            self.model = HFLM(pretrained=backbone.model, tokenizer=deepcopy(backbone.tokenizer), batch_size=4)

        def tokens(self, context, continuation):
            return self.model._encode_pair(context, continuation)

        def log_likelihoods(self, pairs):
            requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
            return [found for found, _ in self.model.loglikelihood(requests, disable_tqdm=True)]

    return Harness


def check(harness, backbone, source, texts, words, atol=1e-4):
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, backbone.max_length)
    ids = [compiled.word_ids(word) for word in words]
    assert len({len(word) for word in ids}) > 1
    prompts = compiled.encode(texts, answer_length=max(map(len, ids)))
    found = compute_features(word_scorer(backbone, compiled, ids, normalised=True), prompts, None)
    other, (before, after) = harness(backbone), source.split("<mask>")
    for text, prompt, scores in zip(texts, prompts, found, strict=True):
        pairs = [(before.replace("<text>", text), word + after) for word in words]
        for pair, word in zip(pairs, ids, strict=True):
            assert other.tokens(*pair) == ([*prompt.left], [*word, *prompt.right])
        assert_close(scores, tensor(other.log_likelihoods(pairs)), atol=atol, rtol=0)


@pytest.mark.parametrize(("source", "texts", "words"), CASES, ids=[source for source, _, _ in CASES])
def test_smollm2(harness, smollm2, source, texts, words):
    check(harness, smollm2, source, texts, words)


@pytest.mark.slow
@pytest.mark.parametrize(("source", "texts", "words"), CASES, ids=[source for source, _, _ in CASES])
def test_gemma3(harness, gemma3, source, texts, words):
    # against float64, the harness errs by up to 2e-4 over the 262,144 words of this vocabulary, and we by 2e-5
    check(harness, gemma3, source, texts, words, atol=3e-4)
