"""The hard prompt read off a soft one: how it is written, and how well it does against classifiers of its parts."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import models
from support.properties import cases

from softcloze import PromptClassifier, Template
from softcloze.analysis import Score, harden
from softcloze.analysis.hardening import with_words
from softcloze.analysis.nearest_words import real_words, writable_words
from softcloze.encoding import PromptTokenizer
from softcloze.errors import ParameterError
from softcloze.prompt import BoundPrompt
from softcloze.template import Field, Literal, Mask, without_slots

WORDS = {"bad": "bad", "good": ["good", "great"]}
TEXTS = [*models.SENTENCES[:9], *models.SENTENCES[14:17]]
LABELS = ["good", "bad"] * 6


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


# a tokenizer, a template, the words in its slots, and how they are written
WRITTEN = [
    ("wordpiece", "<soft*2> <text> <mask>", "good film", "good film <text> <mask>"),
    ("wordpiece", "Review: <soft*2> <text> <mask>", "good film", "Review:good film <text> <mask>"),
    ("wordpiece", "It was <soft><text> <mask>", "good", "It was good <text> <mask>"),
    ("wordpiece", "<text><soft*2><mask>", "good film", "<text> good film<mask>"),
    ("wordpiece", "<text><soft*2>这<mask>", "电 影", "<text>电 影这<mask>"),
    ("wordpiece", "<soft>It was <mask>", "good", "good It was <mask>"),
    ("wordpiece", "<soft name=a> <text><soft name=a><mask>", "good", "good <text> good<mask>"),
    ("gpt2", "<soft*2> <text> <mask>", " good film", " good film <text> <mask>"),
    ("gpt2", "Review: <soft*2> <text>\nIt <mask>", " good film", "Review: good film <text>\nIt <mask>"),
    ("gpt2", "It was <soft> <text> <mask>", "s", "It was s <text> <mask>"),  # "wass" would be read as other tokens
    ("gemma", "这 <soft*2><text><mask>", "很好", "这很好<text><mask>"),
    ("llama", "Review: <soft*2> <text> <mask>", "good film", "Review: good film <text> <mask>"),
    ("gpt2", "{% if text %}<soft>{% endif %}<text><mask>", "good", "{% if text %}good{% endif %}<text><mask>"),
]


@pytest.mark.parametrize(("kind", "source", "words", "expected"), WRITTEN)
def test_words_in_the_place_of_slots(kind, source, words, expected):
    ids = prompt_tokenizer(kind).ids(words)
    template = Template(source.replace("soft*2", f"soft*{len(ids)}"))
    assert with_words(template, {block.key: ids for block in template.blocks}, prompt_tokenizer(kind)) == Template(
        expected
    )


UNFRIENDLY = ["<text>", "<mask>", "<soft*9>", "{{ 7*7 }}", "{% if %}", "<!-- -->", "\\<text>", '<soft init="', "<", "{"]


@pytest.mark.parametrize("kind", models.LOSSLESS)
@pytest.mark.parametrize("words", UNFRIENDLY)
@pytest.mark.parametrize(
    "source", ["<soft*{}>text> <text><mask>", "\\\\<soft*{}>{{{{ text }}}}<mask>", "<soft*{}><mask>"]
)
def test_words_never_become_tags(kind, words, source):
    ids = prompt_tokenizer(kind).ids(words)
    template = Template(source.format(len(ids)))
    hard = with_words(template, {"#1": ids}, prompt_tokenizer(kind))
    assert not hard.blocks and hard.fields == template.fields and hard == Template(str(hard))
    assert words in next(node.text for node in hard.nodes if isinstance(node, Literal))
    tags = [[node for node in own.nodes if not isinstance(node, Literal)] for own in (template, hard)]
    assert tags[0][1:] == tags[1]


@given(st.lists(st.integers(0, 899), min_size=1, max_size=6), st.sampled_from(models.TOKENIZERS))
@cases(10)
def test_any_tokens_can_be_written(ids, kind):
    known = prompt_tokenizer(kind)
    ids = [i % len(models.borrowed(kind)) for i in ids]
    hard = with_words(Template(f"Review: <soft*{len(ids)}> <text>. <mask>"), {"#1": ids}, known)
    assert [node for node in hard.nodes if not isinstance(node, Literal)] == [Field("text"), Mask()]
    assert hard == Template(str(hard))


BARE = [
    ("<soft*3> Review: <text> <mask>", "Review: <text> <mask>"),
    ("Review: <text> <soft*3>\nIt was <mask>", "Review: <text>\nIt was <mask>"),
    ("It was <soft><mask>", "It was <mask>"),
    ("<text> 很<soft>好<mask> <soft>", "<text> 很好<mask> "),
    ("<soft><text><soft> <soft><mask>", "<text> <mask>"),
]


@pytest.mark.parametrize(("source", "expected"), BARE)
def test_nothing_in_the_place_of_slots(source, expected):
    assert without_slots(Template(source)) == Template(expected)


@pytest.mark.parametrize("kind", models.TOKENIZERS)
def test_words_that_text_can_hold(kind):
    name = next(name for name, own in models.ARCHITECTURES.items() if own == kind)
    backbone = models.backbone(name)
    tokenizer, known = backbone.tokenizer, set(writable_words(backbone).tolist())
    assert real_words(backbone).tolist() == list(range(len(tokenizer)))  # the models have five rows more
    assert not known & set(tokenizer.all_special_ids)
    ordinary = {
        i: backbone.prompt_tokenizer.decode([i]) for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids
    }
    assert known == {i for i, text in ordinary.items() if text and "\ufffd" not in text}
    assert {"g", "."} <= {ordinary[i] for i in known}


CASES = [
    ("bert", "<soft*3>: <text> It was <mask>.", WORDS),
    ("gpt2", "Review: <soft*2> <text> It was <mask>", WORDS),
    ("llama", "<text> <soft*3> 总之，很<mask>", {"bad": "差", "good": ["好", "满意"]}),
]


def score_of(clf, template, vectors):
    """Of a classifier with another template or other vectors."""
    prompt = clf.prompt_
    other = PromptClassifier(clf.backbone_, template, prompt.verbalizer)
    if vectors is not None:
        soft = type(prompt)(Template(template), prompt.verbalizer, "", prompt.fingerprint, vectors)
        other._adopt(BoundPrompt(soft, clf.backbone_))
    chances = other.predict_proba(TEXTS)[np.arange(12), [list(prompt.verbalizer.labels).index(y) for y in LABELS]]
    return Score(pytest.approx(other.score(TEXTS, LABELS)), pytest.approx(-np.log(chances).mean(), abs=1e-4))


@pytest.mark.parametrize("by", ["cosine", "distance"])
@pytest.mark.parametrize(("architecture", "source", "table"), CASES)
def test_each_step_is_measured(soft_prompt, architecture, source, table, by):
    clf = soft_prompt(architecture, source, table)
    backbone, (vectors,) = clf.backbone_, clf.prompt_.vectors.values()
    embed, known = backbone.model.get_input_embeddings(), writable_words(backbone)
    with torch.no_grad():
        whole = embed(known).float()
    if by == "cosine":
        nearest = known[torch.cosine_similarity(vectors[:, None], whole, -1).argmax(-1)]
    else:
        nearest = known[torch.cdist(vectors, whole, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1)]
    hard = harden(clf, TEXTS, LABELS, by=by)
    assert hard.template == with_words(clf.prompt_.template, {"#1": nearest.tolist()}, backbone.prompt_tokenizer)
    assert harden(clf, by=by).template == hard.template and harden(clf).measured is None
    measured = hard.measured
    assert measured.soft == score_of(clf, source, {"#1": vectors})
    assert measured.nearest == score_of(clf, source, {"#1": embed(nearest).detach()})
    assert measured.hard == score_of(clf, str(hard.template), None)
    assert measured.bare == score_of(clf, str(without_slots(clf.prompt_.template)), None)
    assert len({score.log_loss for score in (measured.soft, measured.nearest, measured.bare)}) == 3


@pytest.mark.parametrize(("architecture", "words", "same"), [("bert", "good film", 12), ("bert", "##ing film", 0)])
def test_the_very_tokens_or_others(soft_prompt, architecture, words, same):
    backbone = models.backbone(architecture)
    ids = backbone.tokenizer.convert_tokens_to_ids(words.split())
    vectors = {"#1": backbone.embed(torch.tensor(ids)).float()}
    hard = harden(soft_prompt(architecture, "<soft*2> <text> <mask>", WORDS, vectors=vectors), TEXTS, LABELS)
    assert hard.words == {"#1": tuple(words.split())}
    assert hard.measured.same_tokens == same
    assert hard.measured.soft == pytest.approx(hard.measured.nearest)
    assert (hard.measured.nearest == hard.measured.hard) == (same == 12)


def test_a_real_model(soft_prompt, bert_tiny):
    start = bert_tiny.tokenizer("a very long film", add_special_tokens=False)["input_ids"]
    dice = torch.Generator().manual_seed(0)
    noise = torch.randn(4, bert_tiny.width, generator=dice) * bert_tiny.embedding_rms / 4
    vectors = {"task": bert_tiny.embed(torch.tensor(start)).float() + noise}
    hard = harden(soft_prompt(bert_tiny, "<soft*4 name=task>. It was <mask>. <text>", WORDS, vectors=vectors))
    assert hard.words == {"task": ("a", "very", "long", "film")}
    assert str(hard.template) == "a very long film. It was <mask>. <text>"


def test_mistakes(soft_prompt):
    clf = soft_prompt("bert", "<soft*2> <text> <mask>", WORDS)
    with pytest.raises(ParameterError, match="by='cosin', but it has to be 'cosine' or 'distance'; did"):
        harden(clf, by="cosin")
    with pytest.raises(ParameterError, match="give both X and y, or neither"):
        harden(clf, TEXTS)
