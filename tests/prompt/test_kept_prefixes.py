"""What prompts have before every text is kept from call to call within a budget, and changes no score."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import models

from softcloze import Prompt, PromptClassifier, PromptSet, Template, Verbalizer
from softcloze.prompt import BoundPrompt

WORDS = Verbalizer({"good": "good", "bad": "bad"})
TEXTS = models.SENTENCES[:4]
PLENTY = 1 << 26
FRONT = "In all, this is about a film that was on in town: <text> It was <mask>"
VECTORS = "<soft*9> <text> It was <mask>"


def prompt_of(backbone, source, seed=0):
    hard = Prompt(Template(source), WORDS, backbone.name, backbone.fingerprint)
    vectors = {}
    for block in hard.template.blocks:
        generator = torch.Generator().manual_seed(seed)
        vectors[block.key] = torch.randn(block.count, backbone.width, generator=generator) * backbone.embedding_rms
    return Prompt(hard.template, WORDS, backbone.name, backbone.fingerprint, vectors)


def tokens_computed(backbone, call):
    """The positions that the model computes in a call."""
    counts = []
    hook = backbone.model.register_forward_pre_hook(
        lambda _, args, inputs: counts.append(inputs["inputs_embeds"].shape[:2].numel()), with_kwargs=True
    )
    try:
        return call(), sum(counts)
    finally:
        hook.remove()


def scores_of(predictions):
    return np.log([prediction.probabilities for prediction in predictions])


def size_of(prompt, backbone):
    """Bytes of the keys and values of what a prompt begins with."""
    return backbone.prefill([(5,) * len(BoundPrompt(prompt, backbone).start)]).bytes


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text", "mistral", "bloom"])
def test_a_kept_prefix_is_computed_once_and_changes_no_score(architecture):
    backbone = models.backbone(architecture)
    prompts = {"words": prompt_of(backbone, FRONT), "vectors": prompt_of(backbone, VECTORS)}
    anew, keeping = PromptSet(prompts, backbone), PromptSet(prompts, backbone, prefix_memory=PLENTY)
    rows = [(name, text) for text in TEXTS[:2] for name in prompts]
    expected = scores_of(anew.predict_rows(rows))
    first, computed_first = tokens_computed(backbone, lambda: keeping.predict_rows(rows))
    again, computed_again = tokens_computed(backbone, lambda: keeping.predict_rows(rows))
    starts = [len(bound.start) for bound in keeping._bound.values()]
    assert min(starts) > 8
    assert computed_first - computed_again == sum(starts)
    np.testing.assert_allclose(scores_of(first), expected, atol=1e-4)
    np.testing.assert_array_equal(scores_of(again), scores_of(first))  # kept or just computed
    assert keeping.kept_bytes == sum(size_of(prompt, backbone) for prompt in prompts.values())
    one = PromptSet([prompts["words"]], backbone, prefix_memory=PLENTY)
    np.testing.assert_allclose(np.log(one.predict_proba(TEXTS)[0]), np.log(anew.predict_proba(TEXTS)[0]), atol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "bloom", "mistral"])
def test_costs_are_the_tokens_that_are_computed(architecture):
    backbone = models.backbone(architecture)
    keeping = PromptSet({"front": prompt_of(backbone, FRONT)}, backbone, prefix_memory=PLENTY)
    (before,) = keeping.encode_rows([("front", TEXTS[0])])
    keeping.score_rows([before])
    (row,) = keeping.encode_rows([("front", TEXTS[0])])
    _, computed = tokens_computed(backbone, lambda: keeping.score_rows([row]))
    assert computed <= row.cost <= computed + 1  # the cost counts a label word
    assert before.cost - row.cost == len(row.bound.start)


def test_the_start_is_what_all_examples_have_in_common():
    backbone = models.backbone("gpt2")
    ids = backbone.prompt_tokenizer.ids
    for source, start in {
        "It was bad: <text> It was <mask>": ids("It was bad:"),
        "It was<soft*2> bad: <text> It was <mask>": [*ids("It was"), -1, -2, *ids(" bad:")],
        "<text> It was <mask>": [],
        "{% if text == 'a' %}It was{% else %}The{% endif %} bad: <text>: <mask>": [],
        "{{ text | length }} was <mask>": [],
    }.items():
        assert BoundPrompt(prompt_of(backbone, source), backbone).start == tuple(start)
    # a text may join the last token, and then has all but that one in common
    prompt = prompt_of(backbone, "The film was not at all a good one, an<text>: <mask>")
    alone, keeping = (PromptSet([prompt], backbone, prefix_memory=memory) for memory in (0, PLENTY))
    texts = ["d so", "d it was", "", "x"]
    np.testing.assert_allclose(
        np.log(keeping.predict_proba(texts)[0]), np.log(alone.predict_proba(texts)[0]), atol=1e-4
    )


def test_demonstrations_are_kept():
    backbone = models.backbone("llama")
    clf = PromptClassifier(backbone, "<demos*2> <text> It was <mask>", {"good": "good", "bad": "bad"}, random_state=0)
    clf.fit(TEXTS, ["good", "bad"] * 2)
    keeping = PromptSet([clf.prompt_], backbone, prefix_memory=PLENTY)
    for _ in range(2):
        found = keeping.predict_proba(["A film."])[0]
        np.testing.assert_allclose(np.log(found), np.log(clf.predict_proba(["A film."])), atol=1e-4)
    assert keeping.kept_bytes > 0


def test_prefix_tuning_is_kept_with_the_words_after_it():
    backbone = models.backbone("gpt2")
    generator = torch.Generator().manual_seed(0)
    prefixes = {"peft": torch.randn(2, 2, 5, 4, 8, generator=generator)}  # of 2 layers with 4 heads
    tuned = [
        replace(prompt_of(backbone, f"<soft*5 name=peft>{rest}"), prefixes=prefixes, vectors={})
        for rest in ("A film was on: <text> It was <mask>", "<text><mask>")
    ]
    prompts = {
        "tuned": tuned[0],
        "bare": tuned[1],
        "plain": prompt_of(backbone, FRONT),
        "vectors": prompt_of(backbone, VECTORS),
    }
    anew, keeping = PromptSet(prompts, backbone), PromptSet(prompts, backbone, prefix_memory=PLENTY)
    rows = [(name, text) for text in TEXTS[:2] for name in prompts]
    expected = [BoundPrompt(prompts[name], backbone).scores([text])[0] for name, text in rows]
    for one in (anew, keeping, keeping):
        found = [prediction.scores for prediction in one.predict_rows(rows)]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(keeping._bound["tuned"].start) > 8
    nothing, something = keeping.predict_rows([("bare", ""), ("bare", "A film.")])
    assert "nothing stands between a prefix of keys and values and the mask" in str(nothing.error)
    assert something.error is None


def test_the_budget_holds_and_the_least_recently_used_prefix_goes():
    backbone = models.backbone("llama")
    prompts = {str(seed): prompt_of(backbone, VECTORS, seed) for seed in range(6)}
    size = size_of(prompts["0"], backbone)
    keeping = PromptSet(prompts, backbone, prefix_memory=3 * size + size // 2)
    expected = scores_of(PromptSet(prompts, backbone).predict_rows([(name, TEXTS[0]) for name in prompts]))

    def kept():
        return {name for name, bound in keeping._bound.items() if keeping._kept.get(bound) is not None}

    for names in ("0", "1", "2", "0", "3"):
        keeping.predict_rows([(names, TEXTS[0])])
        assert keeping.kept_bytes <= keeping.prefix_memory
    assert kept() == {"0", "2", "3"}
    keeping.predict_rows([("4", TEXTS[0]), ("5", TEXTS[0]), ("1", TEXTS[0])])
    assert kept() == {"1", "4", "5"}
    # all at once do not fit, and those that are kept do not make way in turn
    source = random.Random(0)
    for _ in range(4):
        names = source.sample(list(prompts), 6)
        found = scores_of(keeping.predict_rows([(name, TEXTS[0]) for name in names]))
        np.testing.assert_allclose(found, [expected[int(name)] for name in names], atol=1e-4)
        assert kept() == {"1", "4", "5"} and keeping.kept_bytes == 3 * size
    too_small = PromptSet(prompts, backbone, prefix_memory=size - 1)
    for _ in range(2):
        too_small.predict_rows([(name, TEXTS[0]) for name in prompts])
        assert too_small.kept_bytes == 0


def test_a_prompt_that_is_removed_frees_its_prefix():
    backbone = models.backbone("gpt2")
    prompts = {str(seed): prompt_of(backbone, VECTORS, seed) for seed in range(3)}
    size = size_of(prompts["0"], backbone)
    keeping = PromptSet(prompts, backbone, prefix_memory=PLENTY)
    keeping.predict_rows([(name, TEXTS[0]) for name in prompts])
    assert keeping.kept_bytes == 3 * size
    waiting = keeping.encode_rows([("0", TEXTS[0])])
    keeping = keeping.without("0")
    assert keeping.kept_bytes == 3 * size  # its rows are still to be scored
    keeping.score_rows(waiting)
    del waiting
    assert keeping.kept_bytes == 2 * size
    keeping = keeping.with_prompts({"1": prompt_of(backbone, VECTORS, 9)})
    assert keeping.kept_bytes == size
    _, computed = tokens_computed(backbone, lambda: keeping.predict_rows([("2", TEXTS[0])]))
    assert computed < 40  # the prompt that stayed has its prefix still


def test_masked_models_have_no_prefixes():
    backbone = models.backbone("bert")
    keeping = PromptSet([prompt_of(backbone, FRONT)], backbone, prefix_memory=PLENTY)
    anew = PromptSet([prompt_of(backbone, FRONT)], backbone)
    np.testing.assert_array_equal(keeping.predict_proba(TEXTS[:1])[0], anew.predict_proba(TEXTS[:1])[0])
    assert keeping.kept_bytes == 0
