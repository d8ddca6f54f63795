"""Scores of models with an encoder and a decoder equal those of plain transformers, one sequence at a time."""

import pytest
import torch
from support import models
from support.reference_scores import (
    SLOTS,
    assert_same,
    make_scorer,
    random_prompts,
    score_sets,
    soft_vectors,
    word_scorer,
)

from softcloze.backbone import SoftInputs
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.errors import EncodingError
from softcloze.heads import WordHead
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import compute_features, log_probabilities, plan_rules
from softcloze.scoring.seq2seq import Seq2seqPlan
from softcloze.template import Template
from softcloze.verbalizer import RuleVerbalizer, Verbalizer

WORDS = {
    "one token": [(20,), (31,), (42,)],
    "mixed lengths": [(20,), (31, 32), (42, 43, 44)],
    "shared beginnings": [(20, 21), (20, 22), (20, 21, 23), (31, 21)],
}


@pytest.fixture(params=["t5", "t5-gated", "bart", "mbart"])
def architecture(request):
    """Only models with an encoder and a decoder; mT5 is the gated T5 with another tokenizer."""
    return request.param


def reference(backbone, prompt, words, soft=None):
    """Log-probabilities of the first tokens of `words`, each after the ones before, in one sequence without padding.

    One word for each mask; shape of the result (tokens, vocab).
    """
    model, tokenizer = backbone.model, backbone.tokenizer
    t5 = "t5" in backbone.name
    pieces = [prompt.left, *prompt.between, prompt.right]
    names = tokenizer.get_vocab()
    mark = "▁" if backbone.name == "mt5" else ""
    blanks = [names[f"{mark}<extra_id_{i}>"] if t5 else tokenizer.mask_token_id for i in range(len(words))]
    source, decoder, places = [], [0 if t5 else 2], []
    for piece, blank, word in zip(pieces, blanks, words, strict=False):
        source += [*piece, blank]
        decoder += [blank] if t5 else [token for token in piece if token >= 0]
        places += range(len(decoder) - 1, len(decoder) - 1 + len(word))
        decoder += word
    embed = model.get_input_embeddings()
    rows = [soft[-1 - i] if i < 0 else embed(torch.tensor(i)) for i in [*source, *prompt.right]]
    logits = model(inputs_embeds=torch.stack(rows)[None], decoder_input_ids=torch.tensor([decoder])).logits[0]
    return logits[places].log_softmax(-1)


def expected_scores(backbone, prompts, words, soft=None):
    """Shape (prompts, words)."""

    def score(prompt, word):
        return sum(logs[token] for logs, token in zip(reference(backbone, prompt, [word], soft), word, strict=True))

    return torch.stack([torch.stack([score(prompt, word) for word in words]) for prompt in prompts])


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@torch.no_grad()
def test_word_scores(architecture, words):
    backbone = models.backbone(architecture)
    prompts = [*random_prompts([9, 1], right=True), *random_prompts([14, 1], right=False, seed=1)]
    expected = expected_scores(backbone, prompts, words)
    assert expected.log_softmax(-1).std(0).max() > 0.05  # else nothing would be compared
    assert_same(compute_features(make_scorer(backbone, words, right=True), prompts, None), expected)


@torch.no_grad()
def test_scores_by_length_have_no_constant(architecture):
    backbone = models.backbone(architecture)
    prompts = random_prompts([9, 3], right=True)
    words = WORDS["mixed lengths"]
    expected = expected_scores(backbone, prompts, words) / torch.tensor([5, 1, 2])
    scores = compute_features(make_scorer(backbone, words, right=True, lengths=[5, 1, 2]), prompts, None)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("slots", ["none", "all over"])
@torch.no_grad()
def test_soft_vectors_anywhere(architecture, slots):
    backbone = models.backbone(architecture)
    soft = soft_vectors(backbone, 5)
    prompts = random_prompts([6, 11], slots=SLOTS[slots], right=True)
    words = WORDS["mixed lengths"]
    expected = expected_scores(backbone, prompts, words, soft)
    assert_same(compute_features(make_scorer(backbone, words, right=True), prompts, SoftInputs(soft)), expected)
    if slots != "none":
        other = expected_scores(backbone, prompts, words, soft_vectors(backbone, 5, seed=1))
        assert (other.log_softmax(-1) - expected.log_softmax(-1)).abs().max() > 0.01


@torch.no_grad()
def test_padding_side_and_company_do_not_matter(architecture):
    backbone = models.backbone(architecture, "left")
    soft = soft_vectors(backbone, 3)
    prompts = random_prompts([2, 25, 7, 1], slots=((0, 1, 2), ()), right=True)
    words = WORDS["mixed lengths"]
    scorer = make_scorer(backbone, words, right=True)
    together = compute_features(scorer, prompts, SoftInputs(soft))
    assert_same(together, expected_scores(backbone, prompts, words, soft))
    assert_same(torch.cat([scorer.batch([prompt], SoftInputs(soft)) for prompt in prompts]), together)
    pairs = torch.cat([scorer.batch(prompts[i : i + 2][::-1], SoftInputs(soft)).flip(0) for i in (0, 2)])
    assert_same(pairs, together)


@torch.no_grad()
def test_several_sets_of_vectors(architecture):
    backbone = models.backbone(architecture)
    softs = [soft_vectors(backbone, 3, seed) for seed in range(2)]
    prompts = random_prompts([3, 24, 9], slots=((20, 20, -1), ()), right=True)
    words = WORDS["mixed lengths"]
    scores = score_sets(make_scorer(backbone, words, right=True), prompts, softs)
    for scored, soft in zip(scores, softs, strict=True):
        assert_same(scored, expected_scores(backbone, prompts, words, soft))


def test_gradients(architecture):
    backbone = models.backbone(architecture)
    prompts = random_prompts([3, 14, 9], slots=((-1,), (1,)), right=True)
    words = WORDS["mixed lengths"]
    soft, plain = (soft_vectors(backbone, 2).requires_grad_() for _ in range(2))
    with backbone.frozen():
        make_scorer(backbone, words, right=True).batch(prompts, SoftInputs(soft)).log_softmax(-1)[:, 0].sum().backward()
        expected_scores(backbone, prompts, words, plain).log_softmax(-1)[:, 0].sum().backward()
    scale = plain.grad.abs().max(-1, keepdim=True).values
    assert (scale > 0).all()
    torch.testing.assert_close(soft.grad / scale, plain.grad / scale, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_a_text_is_read_once_for_all_words():
    backbone = models.backbone("t5")
    prompts = random_prompts([9, 3], right=True)
    assert backbone._can_cut_head  # which is tried at first
    seen = []
    encoder = backbone.model.get_encoder()
    hook = encoder.register_forward_hook(lambda _, __, output: seen.append(output.last_hidden_state.shape[0]))
    try:
        for words in WORDS.values():
            make_scorer(backbone, words, right=True).batch(prompts, None)
    finally:
        hook.remove()
    assert seen == [2] * len(WORDS)


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ([(20,), (31,), (42,)], [()]),
        ([(20, 21), (20, 22)], [(20,)]),
        ([(20, 21), (20, 22), (20, 21, 23), (31, 21)], [(20, 21), (31,)]),
        ([(20,), (31, 32)], [(31,)]),
    ],
)
def test_words_share_sequences_of_the_decoder(words, rows):
    prompt_tokenizer = models.backbone("t5").prompt_tokenizer
    model_inputs = Seq2seqPlan([(word,) for word in words], prompt_tokenizer, 0).model_inputs(
        EncodedPrompt((8, 9), (10, 1), {})
    )
    sentinel = prompt_tokenizer.sentinels[0]
    assert [query.ids for query in model_inputs] == [(0, sentinel, *row) for row in rows]
    assert {query.source for query in model_inputs} == {(8, 9, sentinel, 10, 1)}


@torch.no_grad()
def test_bart_says_at_the_mask_what_transformers_has_it_say():
    """With the encoder's ids alone, transformers shifts them for the decoder; the scores are at the mask."""
    backbone = models.backbone("bart")
    (prompt,) = random_prompts([9], right=True)
    row = [*prompt.left, backbone.tokenizer.mask_token_id, *prompt.right]
    plain = backbone.model(input_ids=torch.tensor([row])).logits[0, len(prompt.left)].log_softmax(-1)
    _, vocabulary = log_probabilities(backbone, prompt)
    torch.testing.assert_close(vocabulary.float(), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["t5", "mt5"])
@torch.no_grad()
def test_t5_scores_a_word_as_the_target_of_its_pretraining(name):
    """Written out for its own tokenizer: the loss of the words after the sentinel."""
    backbone = models.backbone(name)
    bound = CompiledPrompt(Template("<text> It was <mask> ."), Verbalizer({0: "good", 1: "bad"}), backbone, None)
    scores = WordHead(bound.verbalizer).label_scores(bound.features(bound.encode(["A dull film"]), None))[0]
    ids = backbone.tokenizer
    losses = []
    for word in ("good", "bad"):
        inputs = ids("A dull film It was <extra_id_0> .", return_tensors="pt")
        labels = ids(f"<extra_id_0> {word}", return_tensors="pt")["input_ids"]
        kept = labels.clone()
        kept[0, [0, -1]] = -100  # the sentinel is given, and where the word ends does not count
        decoder = backbone.model._shift_right(labels)
        loss = backbone.model(**inputs, decoder_input_ids=decoder, labels=kept).loss
        losses.append(loss * (kept >= 0).sum())
    torch.testing.assert_close(scores.log_softmax(-1), (-torch.stack(losses)).log_softmax(-1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_what_the_model_would_write(architecture):
    backbone = models.backbone(architecture)
    soft = soft_vectors(backbone, 2)
    (prompt,) = random_prompts([7], slots=((0, 3), ()), right=True)
    words = WORDS["mixed lengths"]
    found, vocabulary = log_probabilities(backbone, prompt, words, SoftInputs(soft))
    expected = reference(backbone, prompt, [(20,)], soft)[0]
    torch.testing.assert_close(vocabulary.float(), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.float(), expected_scores(backbone, [prompt], words, soft)[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_state_where_the_answer_is_predicted(architecture):
    backbone = models.backbone(architecture)
    prompts = random_prompts([7, 2], right=True)
    compiled = CompiledTemplate(Template("a <mask> b"), backbone.prompt_tokenizer, 64)
    for words in ([], WORDS["one token"], WORDS["mixed lengths"]):
        scorer = word_scorer(backbone, compiled, words, states=["mask"])
        states = compute_features(scorer, prompts, None)[:, len(words) :]
        head = backbone.model.get_output_embeddings()
        logits = head(states)
        expected = torch.stack([reference(backbone, prompt, [(20,)])[0] for prompt in prompts])
        torch.testing.assert_close(logits.log_softmax(-1), expected, atol=1e-4, rtol=1e-4)


RULES = {
    "pos": {"quality": ["good", "great"], "part": "story"},
    "neg": {"quality": "bad", "part": "story"},
    "cast": {"quality": "good", "part": "cast"},
}


@pytest.mark.parametrize(
    "source",
    ["<text> was <mask name=quality>, the <soft*2> <mask name=part>.", "<mask name=part><text>是<mask name=quality>"],
)
@torch.no_grad()
def test_words_at_several_masks(architecture, source):
    backbone = models.backbone(architecture)
    rules, template = RuleVerbalizer(RULES), Template(source)
    bound = CompiledPrompt(template, rules, backbone, None)
    prompts = bound.encode(["A film", "这部电影"])
    soft = soft_vectors(backbone, 2)
    scores = compute_features(bound.scorer, prompts, SoftInputs(soft))
    expected = []
    for prompt in prompts:
        for chosen in rules.conjunctions:
            words = [bound.template.word_ids(chosen[mask.name], mask.name) for mask in template.masks]
            tokens = [token for word in words for token in word]
            logs = reference(backbone, prompt, words, soft)
            expected.append(sum(log[token] for log, token in zip(logs, tokens, strict=True)))
    assert_same(scores, torch.stack(expected).view(len(prompts), -1))


def test_more_masks_than_sentinels():
    backbone = models.backbone("t5")
    plan = plan_rules(backbone, [((20,),) * 4, ((21,),) * 4], has_right=False)
    with pytest.raises(EncodingError, match="the template has 4 masks, and this model has only 3 sentinels"):
        plan.model_inputs(EncodedPrompt((5,), (), {}, between=((6,),) * 3))
