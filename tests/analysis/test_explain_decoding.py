"""Explanations follow the way in which a masked model fills in words of several tokens."""

from typing import get_args

import pytest
import torch
from support import models
from support.reference_scores import filled_score, logits_at_masks, soft_vectors
from torch import tensor

from softcloze import Template, Verbalizer
from softcloze.analysis import explain
from softcloze.prompt import CompiledPrompt
from softcloze.soft import SoftVectors
from softcloze.verbalizer import Decoding

TABLES = {
    "<soft*2> <text> It was <mask> <soft>.": {
        "pos": ["good", "really good", "well worth it"],
        "neg": ["not good", "dull"],
    },
    "<text> 总之，<mask>。": {"好": ["很满意", "好"], "差": ["太差了", "不好", "失望"]},
}


@pytest.mark.parametrize("decoding", get_args(Decoding))
@pytest.mark.parametrize("source", TABLES)
def test_numbers(source, decoding):
    backbone, verbalizer = models.backbone("bert"), Verbalizer(TABLES[source], "log_sum_prob", decoding=decoding)
    bound = CompiledPrompt(Template(source), verbalizer, backbone, None)
    count = bound.template.soft_count
    soft = SoftVectors(bound.template.blocks, soft_vectors(backbone, count)) if count else None
    vectors = soft.weight.detach() if soft is not None else None
    prompts = bound.encode(["A dull film.", "这部电影很好，演员也很好。"])
    for prompt, explanation in zip(prompts, explain(bound, prompts, soft), strict=True):
        with torch.no_grad():
            logs = [filled_score(backbone, prompt, word, decoding, vectors) for word in bound.scorer.words]
            one_mask = logits_at_masks(backbone, prompt, [backbone.prompt_tokenizer.mask_id], vectors)[0].softmax(-1)
        words = torch.stack(logs)
        found = tensor([word.log_probability for word in explanation.words])
        torch.testing.assert_close(found, words, atol=1e-4, rtol=1e-5)
        found = tensor([word.score for word in explanation.words])
        torch.testing.assert_close(found, words - words.max(), atol=1e-4, rtol=1e-5)
        labels = verbalizer.label_scores(words).softmax(-1)
        torch.testing.assert_close(tensor(explanation.probabilities), labels, atol=1e-5, rtol=1e-4)
        best = one_mask.sort(descending=True).values[:10]
        torch.testing.assert_close(tensor([word.probability for word in explanation.top]), best, atol=1e-5, rtol=1e-4)
