"""Invariant 6 on real models and real text."""

import pytest
import torch
from support.models import word_scores
from support.reference_scores import inputs_of, word_scorer

from softcloze.encoding import CompiledTemplate
from softcloze.scoring import compute_features
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

ENGLISH = [
    "A delight from the first scene to the last.",
    "Dull.",
    "I wanted to like it, but the story goes nowhere.",
    "Great fun - see it twice!",
]
CHINESE = [
    "酒店的房间很干净，服务也好！",
    "手机用了两天就坏了。",
    "太差",
    "书的内容很好，值得一看，下次还会买。",
]


def check(backbone, source, table, texts, seed=0):
    compiled = CompiledTemplate(Template(source), backbone.prompt_tokenizer, backbone.max_length)
    verbalizer = Verbalizer(table)
    words = [compiled.word_ids(word) for word in verbalizer.all_words]
    prompts = compiled.encode(texts, answer_length=max(map(len, words)))
    soft = None
    if compiled.soft_count:
        dice = torch.Generator().manual_seed(seed)
        soft = torch.randn(compiled.soft_count, backbone.width, generator=dice) * backbone.embedding_rms
    with torch.no_grad():
        expected = [word_scores(backbone.model, p, words, soft, backbone.prompt_tokenizer.mask_id) for p in prompts]
    expected = verbalizer.label_scores(torch.stack(expected)).log_softmax(-1)
    found = verbalizer.label_scores(
        compute_features(word_scorer(backbone, compiled, words), prompts, inputs_of(soft))
    ).log_softmax(-1)
    assert expected.std(0).max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    return words


ONE = {"good": ["good", "great"], "bad": ["bad", "terrible"]}
SEVERAL = {"good": ["really good", "a delight"], "bad": ["really bad", "a waste of time"]}


@pytest.mark.parametrize("table", [ONE, SEVERAL], ids=["one token", "several tokens"])
@pytest.mark.parametrize(
    "source", ["<text> It was <mask>.", "<soft*5> <text> In all it was <soft*2> <mask> .", "<mask>: <text> <soft*3>"]
)
def test_bert_tiny(bert_tiny, source, table):
    words = check(bert_tiny, source, table, ENGLISH)
    assert (max(map(len, words)) == 1) == (table is ONE)


@pytest.mark.parametrize(
    ("source", "table"),
    [
        ("<soft*3> Review: <text>\nSentiment: <mask>", {"pos": "positive", "neg": "negative"}),
        ("Review: <text>\n<soft*2> In all it was <mask>", SEVERAL),
        ("<text> It was <mask>, I think.", {"pos": ["good", "really good"], "neg": "bad"}),
    ],
)
def test_smollm2(smollm2, source, table):
    check(smollm2, source, table, ENGLISH)


@pytest.mark.parametrize(
    ("source", "table", "texts"),
    [
        ("<soft*3> <text>\nSentiment: <mask>", {"pos": "positive", "neg": "negative"}, ENGLISH[1:3]),
        ("<text> 总之，很<soft*2><mask>", {"好": ["满意", "好"], "差": ["失望", "差"]}, CHINESE[::2]),
        ("<text> 总之，<mask>。", {"好": ["很满意"], "差": ["太让人失望了"]}, CHINESE[1:3]),
    ],
)
def test_gemma3(gemma3, source, table, texts):
    check(gemma3, source, table, texts)
