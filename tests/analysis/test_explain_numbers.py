"""Every number of an explanation, against plain transformers on the same ids: tiny models of all kinds."""

import pytest
import torch
from support import models
from torch import tensor

from softcloze import Prompt, PromptClassifier, Template, Verbalizer
from softcloze.analysis import explain
from softcloze.encoding.tokens import readable_token
from softcloze.prompt import CompiledPrompt
from softcloze.soft import SoftVectors

ONE = {"pos": ["good", "great"], "neg": "bad"}
SEVERAL = {"pos": ["good", "really good", "wonderful"], "neg": ["bad", "terrible story"]}
CHINESE = {1: ["好", "满意"], 0: ["差", "失望"]}
TEXTS = ["A dull film.", "这部电影很好，演员也很好。"]

CASES = [
    ("bert", "<text> It was <mask>.", ONE),
    ("bert", "<text> It was <mask>, all in all.", SEVERAL),
    ("bert", "<text> 总之，很<mask*2>。", {"好": "满意", "差": "失望"}),
    ("roberta", "<soft*3> <text> It was <mask> <soft*2>.", SEVERAL),
    ("albert", "<soft*2><text> 总之，很<mask>。", CHINESE),
    ("deberta-v2", "<mask>: <text>", ONE),
    ("gpt2", "Review: <text>\nIt was <mask>", ONE),
    ("gpt2", "<text> 总之，很<soft*3><mask>", CHINESE),
    ("llama", "<soft*3> <text> It was <mask>", SEVERAL),
    ("gemma3_text", "<text> It was <mask>, I think<soft*2>.", SEVERAL),
    ("qwen3", "<text> 总之，<mask>。", {"好": ["好", "好看", "很满意"], "差": "差"}),  # 好看 begins with 好
]
IDS = [f"{architecture} {source}" for architecture, source, _ in CASES]


def bind(architecture, source, table):
    backbone = models.backbone(architecture)
    bound = CompiledPrompt(Template(source), Verbalizer(table), backbone, None)
    if not bound.template.blocks:
        return bound, None
    dice = torch.Generator().manual_seed(0)
    noise = torch.randn(bound.template.soft_count, backbone.width, generator=dice)
    return bound, SoftVectors(bound.template.blocks, noise * backbone.embedding_rms)


def logs_of(bound, soft, ids):
    """Log-probabilities over the vocabulary at each place of one row, shape (length, vocab)."""
    vectors = soft.weight.detach() if soft is not None else None
    with torch.no_grad():
        return models.logits_of(bound.scorer.backbone.model, list(ids), vectors).double().log_softmax(-1)


def at_the_mask(bound, soft, prompt):
    """Log-probabilities of each label word at the mask, and of the vocabulary, one row a word."""
    mask_id, found, at = bound.scorer.backbone.prompt_tokenizer.mask_id, [], len(prompt.left)
    for word in bound.scorer.words:
        if mask_id is not None:
            logs = logs_of(bound, soft, (*prompt.left, *[mask_id] * len(word), *prompt.right))[at:]
        else:
            logs = logs_of(bound, soft, (*prompt.left, *word))[at - 1 :]
        found.append(sum(logs[k, token] for k, token in enumerate(word)))
    if mask_id is not None:
        vocabulary = logs_of(bound, soft, (*prompt.left, mask_id, *prompt.right))[at]
    else:
        vocabulary = logs_of(bound, soft, prompt.left)[-1]
    return torch.stack(found), vocabulary


def scores_of(bound, soft, prompt):
    """Log-probabilities of the label words as they are decided by, the text behind a causal model's mask included."""
    vectors = soft.weight.detach() if soft is not None else None
    backbone = bound.scorer.backbone
    with torch.no_grad():
        scores = models.word_scores(
            backbone.model, prompt, bound.scorer.words, vectors, backbone.prompt_tokenizer.mask_id
        )
    return scores.double()


def explained(bound, soft):
    prompts = bound.encode(TEXTS)
    return list(zip(prompts, explain(bound, prompts, soft), strict=True))


def split(bound, values):
    return values.split([len(own) for own in bound.verbalizer.words])


def spelt(bound, token_id):
    """A token as it is to be shown; the tiny models have rows that are no token's."""
    backbone = bound.scorer.backbone
    token = backbone.tokenizer.convert_ids_to_tokens(token_id)
    return (
        readable_token(token, byte_level=backbone.prompt_tokenizer.byte_level)
        if token is not None
        else f"<id {token_id}>"
    )


def close(found, expected, tolerance=1e-5):
    torch.testing.assert_close(tensor(found).double(), expected.double(), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("architecture", "source", "table"), CASES, ids=IDS)
def test_numbers(architecture, source, table):
    bound, soft = bind(architecture, source, table)
    verbalizer = bound.verbalizer
    for prompt, explanation in explained(bound, soft):
        words, vocabulary = at_the_mask(bound, soft, prompt)
        scores = scores_of(bound, soft, prompt)
        assert [(word.label, word.word) for word in explanation.words] == [
            (label, word) for label, own in verbalizer.label_words().items() for word in own
        ]
        close([word.log_probability for word in explanation.words], words, 1e-4)
        close([word.probability for word in explanation.words], words.exp())
        close([word.score for word in explanation.words], scores - scores.max(), 1e-4)
        close([word.share for word in explanation.words], torch.cat([s.softmax(-1) for s in split(bound, scores)]))

        means = torch.stack([own.exp().mean() for own in split(bound, scores - scores.max())])
        close(explanation.probabilities, means / means.sum())
        assert explanation.labels == verbalizer.labels
        assert explanation.predicted == verbalizer.labels[means.argmax()]

        best = vocabulary.sort(descending=True)
        close([word.probability for word in explanation.top], best.values[:10].exp())
        ids = best.indices[:10].tolist()
        owners = {word: owner.label for word, owner in zip(bound.scorer.words, explanation.words, strict=True)}
        assert [word.label for word in explanation.top] == [owners.get((i,)) for i in ids]
        assert [word.token for word in explanation.top] == [spelt(bound, i) for i in ids]
        assert [word.tokens for word in explanation.words] == [
            tuple(spelt(bound, i) for i in word) for word in bound.scorer.words
        ]


@pytest.mark.parametrize(("architecture", "source", "table"), CASES, ids=IDS)
def test_probabilities_are_those_of_predict_proba(architecture, source, table, tmp_path):
    bound, soft = bind(architecture, source, table)
    backbone, vectors = bound.scorer.backbone, soft.by_block() if soft is not None else {}
    Prompt(Template(source), bound.verbalizer, backbone.name, backbone.fingerprint, vectors).save(tmp_path / "prompt")
    classifier = PromptClassifier.load(tmp_path / "prompt", model=backbone)
    found = [explanation for _, explanation in explained(bound, soft)]
    close([e.probabilities for e in found], torch.from_numpy(classifier.predict_proba(TEXTS)))
    assert [e.predicted for e in found] == classifier.predict(TEXTS).tolist()
    assert found[0].probabilities != found[1].probabilities


@pytest.mark.parametrize(("architecture", "source", "table"), CASES, ids=IDS)
def test_mass(architecture, source, table):
    bound, soft = bind(architecture, source, table)
    for prompt, explanation in explained(bound, soft):
        words = at_the_mask(bound, soft, prompt)[0].exp().tolist()
        mass = {}
        for ids, probability in zip(bound.scorer.words, words, strict=True):
            kind = len(ids) if bound.scorer.backbone.family == "masked" else "any"
            shorter = [other for other in bound.scorer.words if other != ids and ids[: len(other)] == other]
            if kind != "any" or not shorter:
                mass[kind] = mass.get(kind, 0) + probability
        assert explanation.mass == pytest.approx(max(mass.values()), abs=1e-5)
        assert 0 < explanation.mass <= 1


def test_words_that_begin_with_others_are_not_counted_twice():
    bound, soft = bind(*CASES[-1])
    first, longer = (bound.scorer.words[bound.verbalizer.all_words.index(word)] for word in ("好", "好看"))
    assert longer[: len(first)] == first
    (_, explanation), *_ = explained(bound, soft)
    masses = {word.word: word.probability for word in explanation.words}
    assert explanation.mass == pytest.approx(sum(masses.values()) - masses["好看"])
