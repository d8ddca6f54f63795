"""Several prompts on the same texts: each has the scores that it has by itself in plain transformers."""

import pytest
import torch
from support import models
from support.reference_scores import (
    assert_same,
    embeddings_of,
    filled_score,
    inputs_of,
    make_scorer,
    random_prompts,
    score_sets,
    soft_vectors,
    word_scorer,
)

from softcloze.backbone import Backbone
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.scoring import Member, compute_features, score_together
from softcloze.scoring.prefix_tree import MAX_DEPTH, MIN_SAVED_TOKENS, prefix_tree
from softcloze.template import Template

ARCHITECTURES = ["llama", "gpt2", "gemma3_text", "mistral", "bloom", "opt", "gpt_neox", "bert", "roberta"]
CAUSAL = [architecture for architecture in ARCHITECTURES if architecture in models.CAUSAL]
TEXTS = [tuple(range(20 + i, 20 + i + length)) for i, length in enumerate((18, 3, 25, 7, 18))]
# ids before the text, after it, after the mask
SHAPES = [
    ((), (90, 91), ()),
    ((), (90, 92, 93), ()),
    ((), (-2, -1), ()),
    ((), (91, -1, -3, 94), (95, -2)),
    ((10, 11, 12, 13, 14), (90, 91), ()),
    ((-1, -2, 10), (91,), ()),
    ((-3, -1), (-2, 91), (95,)),
]
ONE, SEVERAL, MIXED = [(20,), (31,)], [(20, 21), (31, 32)], [(20, 21, 22), (31,), (40, 41)]


def member(backbone, shape, words, seed=0, texts=TEXTS, **options):
    start, tail, right = shape
    if backbone.family == "masked" and not right:
        right = (2,)
    soft = soft_vectors(backbone, 3, seed) if min((*start, *tail, *right)) < 0 else None
    prompts = [EncodedPrompt((*start, *text, *tail), right, {}) for text in texts]
    return Member(make_scorer(backbone, words, right=bool(right), **options), prompts, inputs_of(soft)), words


def expected_scores(own, words):
    backbone = own.scorer.backbone
    with torch.no_grad():
        return torch.stack(
            [
                models.word_scores(
                    backbone.model, prompt, words, embeddings_of(own.soft), backbone.prompt_tokenizer.mask_id
                )
                for prompt in own.prompts
            ]
        )


def tokens_read(backbone, run):
    """The result of `run`, and the number of positions that the model computed."""
    read = []
    hook = backbone.model.register_forward_pre_hook(
        lambda _, args, inputs: read.append(inputs.get("input_ids", inputs.get("inputs_embeds")).shape[:2].numel()),
        with_kwargs=True,
    )
    try:
        return run(), sum(read)
    finally:
        hook.remove()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_those_of_each_by_itself(architecture):
    backbone = models.backbone(architecture)
    words = (ONE, ONE, MIXED, SEVERAL, ONE, SEVERAL, ONE)
    members = [member(backbone, *own, seed)[0] for seed, own in enumerate(zip(SHAPES, words, strict=True))]
    for found, own, its_words in zip(score_together(members), members, words, strict=True):
        assert_same(found, expected_scores(own, its_words))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_vectors_of_one_template(architecture):
    backbone = models.backbone(architecture)
    shape = SHAPES[2] if backbone.family == "causal" else SHAPES[3]
    scorer = member(backbone, shape, ONE)[0].scorer
    members = [member(backbone, shape, ONE, seed)[0]._replace(scorer=scorer) for seed in range(3)]
    found = score_together(members)
    for own, scores in zip(members, found, strict=True):
        assert_same(scores, expected_scores(own, ONE))
    assert (found[0].log_softmax(-1) - found[1].log_softmax(-1)).abs().max() > 0.01


@pytest.mark.parametrize("architecture", CAUSAL)
def test_a_text_is_computed_once(architecture):
    backbone = models.backbone(architecture)
    assert backbone.supports_prefix_cache
    members = [member(backbone, ((), (90 + k, 80), ()), ONE, texts=[TEXTS[0], TEXTS[2]])[0] for k in range(6)]
    score_together(members)  # the first use of a model tries what it supports, in forward passes of its own
    found, read = tokens_read(backbone, lambda: score_together(members))
    assert read == (18 + 25) + (25 - 18) + 6 * 2 * 2  # the texts with their padding, and tails of two tokens
    for own, scores in zip(members, found, strict=True):
        assert_same(scores, expected_scores(own, ONE))


@pytest.mark.parametrize(
    ("architecture", "packs"), [("llama", True), ("gpt2", True), ("opt", True), ("bloom", False), ("mistral", False)]
)
def test_tails_are_packed_where_the_model_allows_it(architecture, packs):
    """Not if positions are counted in the mask, nor if a layer's window, here of 8 tokens, is too short."""
    backbone = models.backbone(architecture)
    assert backbone.can_pack == (architecture != "bloom")
    tails = [(90, 91, 80), (90, 91, 81), (90, 82, 80), (83,), (-1, 91)]
    texts = [TEXTS[0], TEXTS[4], TEXTS[2]]
    members = [member(backbone, ((), tail, ()), ONE, texts=texts)[0] for tail in tails]
    found, read = tokens_read(backbone, lambda: score_together(members))
    branches = 1 + 1 + 2 + 2 + 1 + 2  # 90, its 91, that one's two ends, 82 with 80, 83, and the soft slot with its 91
    behind = branches if packs else 3 * len(tails)
    assert read == 3 * (25 + behind)  # texts, and tails that are not packed, padded to the longest
    for own, scores in zip(members, found, strict=True):
        assert_same(scores, expected_scores(own, ONE))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
def test_probes_cost_a_few_tokens(architecture):
    known = models.backbone(architecture)
    unknown = Backbone(known.model, known.tokenizer, known.name)
    read = []
    for backbone in (unknown, unknown):
        members = [member(backbone, ((), (90, tail), ()), ONE, texts=TEXTS[:1])[0] for tail in (80, 81)]
        read.append(tokens_read(backbone, lambda members=members: score_together(members))[1])
    assert read[1] < read[0] < read[1] + 60


def test_words_in_front_are_computed_once_for_all_texts():
    backbone = models.backbone("llama")
    start = tuple(range(100, 120))
    members = [member(backbone, (start, tail, ()), ONE)[0] for tail in ((90, 91), (92, -1))]
    found, read = tokens_read(backbone, lambda: score_together(members))
    alone = sum(
        tokens_read(backbone, lambda own=own: score_sets(own.scorer, own.prompts, [embeddings_of(own.soft)]))[1]
        for own in members
    )
    assert read < alone < 2 * 5 * 40
    for own, scores in zip(members, found, strict=True):
        assert_same(scores, expected_scores(own, ONE))


def test_prompts_of_a_masked_model_share_batches():
    backbone = models.backbone("bert")
    members = [member(backbone, shape, ONE, texts=TEXTS[:1])[0] for shape in SHAPES]
    score_together(members)  # the first use of a model tries what it supports, in forward passes of its own
    calls = []
    hook = backbone.model.register_forward_pre_hook(lambda *_: calls.append(1))
    found = score_together(members)
    hook.remove()
    assert len(calls) == 1
    for own, scores in zip(members, found, strict=True):
        assert_same(scores, expected_scores(own, ONE))


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_scores_by_length_and_as_probabilities(architecture):
    backbone = models.backbone(architecture)
    by_length, words = member(backbone, SHAPES[4], MIXED, lengths=[3, 1, 2])
    plain = member(backbone, SHAPES[5], MIXED)[0]
    found = score_together([by_length, plain])
    expected = expected_scores(by_length, words)
    torch.testing.assert_close(found[0], expected / torch.tensor([3, 1, 2]), atol=1e-4, rtol=1e-4)
    assert_same(found[1], expected_scores(plain, words))


def test_words_decoded_by_confidence():
    backbone = models.backbone("bert")
    members = [member(backbone, shape, MIXED, decoding="most_confident")[0] for shape in (SHAPES[0], SHAPES[3])]
    members.append(member(backbone, SHAPES[1], ONE)[0])
    found = score_together(members)
    with torch.no_grad():
        for own, scores in zip(members[:2], found, strict=False):
            expected = [
                torch.stack(
                    [filled_score(backbone, prompt, word, "most_confident", embeddings_of(own.soft)) for word in MIXED]
                )
                for prompt in own.prompts
            ]
            assert_same(scores, torch.stack(expected))
    assert_same(found[2], expected_scores(members[2], ONE))


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_states(architecture):
    backbone = models.backbone(architecture)
    right = (2,) if backbone.family == "masked" else ()
    compiled = CompiledTemplate(Template("a <mask> b" if right else "a <mask>"), backbone.prompt_tokenizer, 64)
    members = []
    for k, words in enumerate(([], ONE, [])):
        prompts = [EncodedPrompt((*text, 90 + k), right, {}) for text in TEXTS]
        members.append(Member(word_scorer(backbone, compiled, words, states=["mask"]), prompts, None))
    members.append(member(backbone, SHAPES[1], ONE)[0])
    for found, own in zip(score_together(members), members, strict=True):
        torch.testing.assert_close(found, compute_features(own.scorer, own.prompts, None), atol=1e-4, rtol=1e-4)


def test_no_texts(architecture):
    own, _ = member(models.backbone(architecture), SHAPES[3], ONE, texts=[])
    assert [found.shape for found in score_together([own, own])] == [(0, 2), (0, 2)]


def leaves_of(tree, before=()):
    """Sequence -> its shared prefix."""
    ids = before + tree.ids
    assert len(ids) == tree.end
    found = dict.fromkeys(tree.members, ids)
    for child in tree.children:
        assert child.depth == tree.depth + 1 <= MAX_DEPTH
        found |= leaves_of(child, ids)
    return found


def test_shared_prefixes_are_those_of_their_sequences():
    dice = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(40):
        text = torch.randint(3, (30,), generator=dice).tolist()
        rows += [(*text[:length], 5) for length in torch.randint(31, (4,), generator=dice).tolist()]
    leaves = leaves_of(prefix_tree(rows, [1] * len(rows)))
    assert sorted(leaves) == list(range(len(rows)))
    assert all(rows[row][: len(ids)] == ids for row, ids in leaves.items())
    read = sum(map(len, set(leaves.values())))
    assert read > 0


@pytest.mark.parametrize(
    ("rows", "ends"),
    [
        ([(1,) * (MIN_SAVED_TOKENS - 1)] * 2, [0, 0]),  # too short to be worth a pass
        ([(1,) * MIN_SAVED_TOKENS] * 2, [MIN_SAVED_TOKENS, MIN_SAVED_TOKENS]),
        ([(*range(9), k) for k in range(3)], [9, 9, 9]),  # short, but of several
        ([tuple(range(40)), tuple(range(20))], [20, 20]),
        ([(1,) * length for length in range(0, 400, 40)], [40 * min(i, MAX_DEPTH) for i in range(10)]),
        ([(), ()], [0, 0]),
        ([(1, 2)], [0]),
    ],
)
def test_how_much_is_shared(rows, ends):
    leaves = leaves_of(prefix_tree(rows, [1] * len(rows)))
    assert [len(leaves[row]) for row in range(len(rows))] == ends


def test_a_sequence_that_is_computed_often_is_a_prefix_by_itself():
    long, short = tuple(range(20)), tuple(range(10))
    assert leaves_of(prefix_tree([long, short], [3, 1])) == {0: long, 1: ()}


@pytest.mark.parametrize("right", [False, True], ids=["end", "text behind"])
def test_label_words_share_their_prompt(right):
    """A prompt is computed once, and for each word only the tokens that it adds."""
    backbone = models.backbone("llama")
    words = [(20 + k, 30) for k in range(4)]
    prompts = random_prompts([24], right=right)
    scorer = make_scorer(backbone, words, right=right)
    found, read = tokens_read(backbone, lambda: compute_features(scorer, prompts, None))
    behind = 4 - 1 + 1 if right else 0  # the last one is predicted, not read
    assert read == 24 + 4 * (1 + behind)
    expected = torch.stack([models.word_scores(backbone.model, prompts[0], words)])
    torch.testing.assert_close(found.log_softmax(-1), expected.log_softmax(-1), atol=1e-4, rtol=1e-4)
