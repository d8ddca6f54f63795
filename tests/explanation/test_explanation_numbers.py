"""Every number of an explanation, against plain transformers on the same ids."""

import json
from dataclasses import asdict

import models
import pytest
import torch
from torch import tensor
from transformers import BertConfig, BertLMHeadModel

from softcloze import Backbone, Prompt, PromptClassifier, Template, Verbalizer
from softcloze.encoding import EncodingError
from softcloze.errors import SoftclozeError
from softcloze.explanation import ExplanationError, explain
from softcloze.explanation.spelling import readable_token
from softcloze.prompt import BoundPrompt
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


def bind(architecture, source, table, **options):
    backbone = models.backbone(architecture) if isinstance(architecture, str) else architecture
    bound = BoundPrompt(Template(source), Verbalizer(table, **options), backbone, None)
    if not bound.compiled.blocks:
        return bound, None
    dice = torch.Generator().manual_seed(0)
    noise = torch.randn(bound.compiled.soft_count, backbone.width, generator=dice)
    return bound, SoftVectors(bound.compiled.blocks, noise * backbone.embedding_rms)


def logs_of(bound, soft, ids):
    """Log-probabilities over the vocabulary at each place of one row, shape (length, vocab)."""
    vectors = soft.weight.detach() if soft is not None else None
    with torch.no_grad():
        return models.logits_of(bound.scorer.backbone.model, list(ids), vectors).double().log_softmax(-1)


def at_the_mask(bound, soft, prompt):
    """Log-probabilities of each label word at the mask, and of the vocabulary, one row a word."""
    mask_id, found, at = bound.scorer.backbone.vocabulary.mask_id, [], len(prompt.left)
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
        scores = models.word_scores(backbone.model, prompt, bound.scorer.words, vectors, backbone.vocabulary.mask_id)
    return scores.double()


def explained(bound, soft, texts=TEXTS, top=10):
    prompts = bound.encode(texts)
    return list(zip(prompts, explain(bound, prompts, soft, top), strict=True))


def split(bound, values):
    return values.split([len(own) for own in bound.verbalizer.words])


def spelt(bound, token_id):
    """A token as it is to be shown; the tiny models have rows that are no token's."""
    backbone = bound.scorer.backbone
    token = backbone.tokenizer.convert_ids_to_tokens(token_id)
    return readable_token(token, byte_level=backbone.vocabulary.byte_level) if token is not None else f"<id {token_id}>"


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
            (label, word) for label, own in verbalizer.as_dict().items() for word in own
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


def test_the_top_words_may_be_the_whole_vocabulary():
    backbone = models.backbone("gpt2")
    bound, _ = bind(backbone, "<text> It was <mask>", ONE)
    (prompt,) = bound.encode(TEXTS[:1])
    (explanation,) = explain(bound, [prompt], None, top=10_000)
    assert len(explanation.top) == len(backbone.tokenizer) + 5
    assert sum(word.probability for word in explanation.top) == pytest.approx(1)
    unused = {word.token for word in explanation.top if word.token.startswith("<id ")}
    assert unused == {f"<id {len(backbone.tokenizer) + k}>" for k in range(5)}  # rows without a token, slots included


SHARES = {
    "log_mean_prob": lambda scores, weights: (scores + weights.log()).softmax(-1),
    "log_sum_prob": lambda scores, weights: (scores + weights.log()).softmax(-1),
    "mean_log_prob": lambda scores, weights: weights / weights.sum(),
    "max_log_prob": lambda scores, weights: (scores + weights.log() == (scores + weights.log()).max()).double(),
}


@pytest.mark.parametrize("table", [SEVERAL, {"pos": {"good": 1, "great": 3}, "neg": {"bad": 0.5, "terrible": 2}}])
@pytest.mark.parametrize("aggregate", SHARES)
@pytest.mark.parametrize(("architecture", "source"), [("bert", "<text> It was <mask>."), ("gpt2", "<text> <mask>")])
def test_shares_follow_the_aggregation(architecture, source, aggregate, table):
    bound, soft = bind(architecture, source, table, aggregate=aggregate)
    for prompt, explanation in explained(bound, soft):
        parts = split(bound, scores_of(bound, soft, prompt))
        weights = [tensor(own).double() for own in bound.verbalizer.weights]
        expected = [SHARES[aggregate](part, own) for part, own in zip(parts, weights, strict=True)]
        close([word.share for word in explanation.words], torch.cat(expected))
        for label in explanation.labels:
            shares = [word.share for word in explanation.words if word.label == label]
            assert sum(shares) == pytest.approx(1) and min(shares) >= 0 and max(shares) <= 1


@pytest.mark.parametrize(("architecture", "source"), [("bert", "<text> It was <mask>."), ("gpt2", "<text> <mask>")])
def test_scores_of_words_measured_by_their_tokens(architecture, source):
    bound, soft = bind(architecture, source, SEVERAL, per="token")
    lengths = tensor([len(word) for word in bound.scorer.words])
    for prompt, explanation in explained(bound, soft):
        scores = scores_of(bound, soft, prompt) / lengths
        close([word.score for word in explanation.words], scores - scores.max(), 1e-4)
        close([word.log_probability for word in explanation.words], scores_of(bound, soft, prompt), 1e-4)


@pytest.mark.parametrize("family", ["masked", "causal"])
def test_the_second_text_of_a_pair(family):
    backbone = models.backbone("bert")
    if family == "causal":
        config = BertConfig(
            vocab_size=len(models.borrowed("wordpiece")),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            initializer_range=0.5,
            is_decoder=True,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            backbone = Backbone(BertLMHeadModel(config).eval(), models.tokenizer("wordpiece"), "x")
    bound, _ = bind(backbone, "<a><sep><b> It was <mask>, <a>", ONE)
    ((prompt, explanation),) = explained(bound, None, [{"a": "A dull film.", "b": "很好"}])
    at = len(prompt.left)
    ids = [*prompt.left, backbone.vocabulary.mask_id, *prompt.right] if family == "masked" else list(prompt.left)
    inputs = {"input_ids": tensor([ids]), "token_type_ids": tensor([prompt.types[: len(ids)]])}
    with torch.no_grad():
        logs = backbone.model(**inputs).logits[0].log_softmax(-1)[at if family == "masked" else at - 1]
    assert inputs["token_type_ids"].max() == 1
    close([word.probability for word in explanation.top], logs.sort(descending=True).values[:10].exp())
    words = [(word.log_probability, ids[0]) for word, ids in zip(explanation.words, bound.scorer.words, strict=True)]
    close([log for log, _ in words], logs[[first for _, first in words]], 1e-4)


def test_bert_tiny(bert_tiny):
    bound, _ = bind(bert_tiny, "<text> It was <mask>.", {"good": ["good", "great"], "bad": ["bad", "terrible"]})
    texts = ["A delight from the first scene to the last.", "这部电影很好。"]
    for (_, explanation), text in zip(explained(bound, None, texts), texts, strict=True):
        inputs = bert_tiny.tokenizer(f"{text} It was [MASK].", return_tensors="pt")
        at = inputs["input_ids"][0].tolist().index(bert_tiny.tokenizer.mask_token_id)
        with torch.no_grad():
            logs = bert_tiny.model(**inputs).logits[0, at].log_softmax(-1)
        best = logs.sort(descending=True)
        close([word.probability for word in explanation.top], best.values[:10].exp())
        assert [word.token for word in explanation.top] == bert_tiny.tokenizer.convert_ids_to_tokens(best.indices[:10])
        found = {word.word: word.log_probability for word in explanation.words}
        words = [bert_tiny.tokenizer.convert_tokens_to_ids(word) for word in found]
        close(list(found.values()), logs[words], 1e-4)
        assert explanation.mass == pytest.approx(logs[words].exp().sum().item(), abs=1e-6)
        assert explanation.predicted == {0: "bad", 1: "good"}[int(logs[words].exp().view(2, 2).sum(1).argmax())]


def test_an_explanation_is_plain_data():
    bound, _ = bind("gpt2", "<text> 总之，很<mask>", CHINESE)
    ((_, explanation),) = explained(bound, None, TEXTS[:1], top=2)
    data = json.loads(json.dumps(asdict(explanation)))
    assert data.keys() == {"labels", "probabilities", "words", "top", "mass"}
    assert data["labels"] == [0, 1] and len(data["top"]) == 2
    assert data["words"][0].keys() == {"label", "word", "tokens", "log_probability", "score", "share"}
    assert data["top"][0].keys() == {"token", "probability", "label"}


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_model_and_vectors_are_given_back_as_found(outer):
    backbone = models.new_backbone("bert")
    bound, soft = bind(backbone, "<soft*2><text> It was <mask>.", SEVERAL)
    backbone.model.train()
    flags = [parameter.requires_grad for parameter in backbone.model.parameters()]
    expected = explained(bound, soft)
    with outer():
        assert explained(bound, soft) == expected
    assert backbone.model.training and all(flags)
    assert [parameter.requires_grad for parameter in backbone.model.parameters()] == flags
    assert soft.weight.grad is None and all(parameter.grad is None for parameter in backbone.model.parameters())


def test_no_prompts_and_no_top_words():
    bound, _ = bind("bert", "<text> It was <mask>.", ONE)
    assert explain(bound, [], None) == []
    ((_, explanation),) = explained(bound, None, TEXTS[:1], top=0)
    assert explanation.top == ()


def test_mistakes():
    bound, _ = bind("bert", "<text> It was <mask>.", ONE)
    with pytest.raises(ExplanationError, match=r"^top=-1 words cannot be named; expected 0 or more$") as error:
        explain(bound, bound.encode(TEXTS), None, top=-1)
    assert isinstance(error.value, SoftclozeError) and isinstance(error.value, ValueError)
    bound, _ = bind("qwen3", "<mask>: <text>", ONE)
    with pytest.raises(EncodingError, match=r"^nothing stands before <mask>"):
        explain(bound, bound.encode(TEXTS), None)
