"""Initial values of soft vectors."""

from collections import Counter

import numpy as np
import pytest
import torch
from support import models

from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.errors import ParameterError, SoftclozeError
from softcloze.soft import INITS, initial_vectors
from softcloze.template import Template

BACKBONES = ["bert", "gpt2", "gemma3_text", "electra"]


def embedded(backbone, ids):
    """Input embeddings of token ids by the model itself."""
    with torch.no_grad():
        return backbone.model.get_input_embeddings()(torch.tensor(list(ids)))


def compiled(backbone, source):
    return CompiledTemplate(Template(source), backbone.prompt_tokenizer, 64)


def start(backbone, source, init="template", prompts=(), words=((20, 21), (30,)), seed=0):
    return initial_vectors(
        compiled(backbone, source),
        backbone,
        init=init,
        prompts=prompts,
        words=words,
        generator=np.random.default_rng(seed),
    )


def ids_of(backbone, text):
    return backbone.tokenizer(text, add_special_tokens=False)["input_ids"]


def in_turn(ids, count):
    return [ids[i % len(ids)] for i in range(count)]


def tokens_of(backbone, vectors):
    """The tokens whose embeddings these vectors are."""
    table = embedded(backbone, range(len(backbone.tokenizer)))
    near = torch.cdist(vectors.detach(), table, compute_mode="donot_use_mm_for_euclid_dist")
    assert near.min(-1).values.max() < 1e-3
    return near.argmin(-1).tolist()


def prompts_of(*rows):
    return [EncodedPrompt(tuple(row[:-1]), tuple(row[-1:]), {}) for row in rows]


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_words_in_the_tag_are_repeated_or_truncated(name, init, count):
    backbone = models.backbone(name)
    soft = start(backbone, f'<soft*{count} init="good bad great film"> It <mask>', init, prompts_of([40, 41]))
    expected = in_turn(ids_of(backbone, "good bad great film"), count)
    torch.testing.assert_close(soft.weight.detach(), embedded(backbone, expected))
    assert soft.weight.dtype == torch.float32
    assert soft.weight.requires_grad
    assert backbone.model.get_input_embeddings().weight.grad is None


def test_words_in_the_tag_of_a_real_model(bert_tiny):
    soft = start(bert_tiny, '<soft init="It is about"> <text> <mask>')
    torch.testing.assert_close(soft.weight.detach(), embedded(bert_tiny, ids_of(bert_tiny, "It is about")))


SPREAD = "<soft*2> the story: <soft*3 name=task init=good> film: <text> <soft*3> was <mask>, <soft name=task>"


def spread(backbone, first, last):
    """Rows of `SPREAD` from the tokens of its first and its last block."""
    return embedded(backbone, [*first, *in_turn(ids_of(backbone, "good"), 3), *last])


@pytest.mark.parametrize("name", BACKBONES)
def test_label_words_are_repeated_over_all_blocks(name):
    backbone = models.backbone(name)
    soft = start(backbone, SPREAD, "labels", words=[(20, 21), (30,)])
    torch.testing.assert_close(soft.weight.detach(), spread(backbone, [20, 21], [30, 20, 21]))


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_the_first_literal_is_repeated_over_blocks_in_front_and_a_full_stop_after_a_field(name):
    backbone = models.backbone(name)
    soft = start(backbone, SPREAD)
    stop = ids_of(backbone, ".")
    assert stop
    front = in_turn(ids_of(backbone, "the story:"), 2)
    torch.testing.assert_close(soft.weight.detach(), spread(backbone, front, in_turn(stop, 3)))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("评论：<text><soft*2> 总之，很<mask>", "。"),
        ("Review: <text> <soft*2> It was <mask>.", "."),
        ("<soft*2 name=a>good <text> film <mask><soft name=a>", "good"),
        ("<text> <soft*2> It was <mask>.", "It was"),
    ],
)
def test_the_full_stop_follows_an_announced_text_in_the_language_of_the_template(bert_tiny, source, words):
    soft = start(bert_tiny, source)
    torch.testing.assert_close(soft.weight.detach(), embedded(bert_tiny, in_turn(ids_of(bert_tiny, words), 2)))


@pytest.mark.parametrize("source", ["<soft*5><text><mask>", "<soft*5> <text> \n <mask>"])
def test_a_template_without_words_starts_from_the_label_words(source):
    backbone = models.backbone("gpt2")
    soft = start(backbone, source, words=[(20, 21), (30,)])
    torch.testing.assert_close(soft.weight.detach(), embedded(backbone, [20, 21, 30, 20, 21]))


@pytest.mark.parametrize("name", BACKBONES)
def test_vocabulary_draws_different_frequent_tokens(name):
    backbone = models.backbone(name)
    source = "<soft*2> <soft*3 name=task init=good> <text> <soft*2> <mask>"
    rows = [[10 + i, *range(50, 50 + 40)] for i in range(30)]  # 40 tokens in every row, 30 in one each
    drawn = []
    for seed in range(5):
        soft = start(backbone, source, "vocabulary", prompts_of(*rows), seed=seed)
        tokens = tokens_of(backbone, soft.weight)
        tokens = tokens[:2] + tokens[5:]
        assert len(set(tokens)) == 4
        assert set(tokens) <= set(range(50, 90))  # the ten times four that occur most
        drawn += tokens
        again = start(backbone, source, "vocabulary", prompts_of(*rows[::-1]), seed=seed)
        assert torch.equal(soft.weight, again.weight)
    assert len(Counter(drawn)) > 8


def test_slots_are_not_counted_as_frequent_tokens():
    backbone = models.backbone("gpt2")
    soft = start(backbone, "<soft*3><mask>", "vocabulary", [EncodedPrompt((-1, -2, -3, 40, 41), (42,), {})])
    assert sorted(tokens_of(backbone, soft.weight)) == [40, 41, 42]


def test_fewer_tokens_than_slots_are_repeated():
    backbone = models.backbone("gpt2")
    soft = start(backbone, "<soft*5><mask>", "vocabulary", prompts_of([40, 41]))
    counts = Counter(tokens_of(backbone, soft.weight))
    assert set(counts) == {40, 41}
    assert sorted(counts.values()) == [2, 3]


@pytest.mark.parametrize(
    ("name", "source", "init"),
    [("gpt2", "<soft*3><text><mask>", "vocabulary"), ("bert", "\u200b<soft*3> <mask>", "template")],
)
def test_no_tokens_to_start_from_raise(name, source, init):
    backbone = models.backbone(name)
    prompts = compiled(backbone, source).encode([""] if "<text>" in source else [{}])
    try:
        soft = start(backbone, source, init, prompts)
    except SoftclozeError:
        return
    assert torch.isfinite(soft.weight).all()


def test_an_unknown_init_raises():
    message = "soft_init='zeros' is unknown; expected one of 'template', 'labels', 'vocabulary'"
    with pytest.raises(ParameterError, match=message):
        start(models.backbone("gpt2"), "<soft*5> It <mask>", "zeros", prompts_of([40, 41]))


@pytest.mark.parametrize("init", INITS)
def test_initialising_leaves_global_generators_alone(init):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    start(models.backbone("gpt2"), "<soft*5> It <mask>", init, prompts_of([40, 41, 42]))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
