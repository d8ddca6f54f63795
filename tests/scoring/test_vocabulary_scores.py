"""The whole vocabulary at the mask, against plain transformers."""

import pytest
import torch
from support import models

from softcloze import Template
from softcloze.encoding import CompiledTemplate
from softcloze.scoring import log_probabilities


@pytest.mark.parametrize("source", ["<text> It was <mask>", "<text> 总之，很<mask>。", "<text> It was <mask*2>."])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2", "gemma3_text"])
def test_the_vocabulary_at_the_mask(architecture, source):
    backbone = models.backbone(architecture)
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, 64)
    (prompt,) = compiled.encode(["A dull film."])
    words, vocabulary = log_probabilities(backbone, prompt)
    mask_id = backbone.prompt_tokenizer.mask_id
    ids, at = list(prompt.left), len(prompt.left) - 1  # a causal model does not read what stands behind
    if mask_id is not None:
        ids, at = [*prompt.left, mask_id, *prompt.right], len(prompt.left)
    with torch.no_grad():
        expected = models.logits_of(backbone.model, ids).double().log_softmax(-1)[at]
    assert words.shape == (0,)
    torch.testing.assert_close(vocabulary, expected, atol=1e-4, rtol=1e-4)
