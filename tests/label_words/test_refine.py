"""refine_words: what comes out is an ordinary verbalizer that does what the paper does, on scores taken one by one."""

import numpy as np
import pytest
import torch
from support import models

from softcloze import PromptClassifier, Verbalizer, refine_words
from softcloze.encoding import CompiledTemplate
from softcloze.errors import DataError, EncodingError, ParameterError, VerbalizerError
from softcloze.label_words import relevance
from softcloze.library import load_verbalizer
from softcloze.template import Template

TEXTS = models.SENTENCES
LABELS = ["good", "bad"] * (len(TEXTS) // 2)
WORDS = {
    "bad": ["bad", "poor", "dull", "awful", "boring", "waste"],
    "good": ["good", "great", "fun", "a delight", "fine"],
}
HARD = "<text> It was <mask>"


@pytest.fixture(scope="module", params=["bert", "llama"])
def backbone(request):
    return models.backbone(request.param)


def probabilities(backbone, template, words, texts):
    """Of each word among all words, one text at a time, all logits computed."""
    compiled = CompiledTemplate(Template(template), backbone.prompt_tokenizer, backbone.max_length)
    ids = [compiled.word_ids(word) for word in words]
    prompts = compiled.encode(texts, answer_length=max(map(len, ids)))
    with torch.no_grad():
        rows = [models.word_scores(backbone.model, p, ids, None, backbone.prompt_tokenizer.mask_id) for p in prompts]
    return torch.stack(rows).double().softmax(-1).numpy()


@pytest.mark.parametrize("template", [HARD, "<text> It was <mask>, really."])
def test_zero_shot(backbone, template):
    listed = [*WORDS["bad"], *WORDS["good"]]
    owners = np.repeat([0, 1], [6, 5])
    found = refine_words(backbone, template, WORDS, TEXTS)
    given = probabilities(backbone, template, listed, TEXTS)
    priors = given.mean(0)
    # the rarer half of each label goes, but not its name
    stay = [0, *sorted(set(np.argsort(priors[:6])[3:]) - {0})]
    stay += [6, *sorted({6 + i for i in np.argsort(priors[6:])[2:]} - {6})]
    ratios = relevance(np.log(given[:, stay]), owners[stay])
    kept = [i for i, ratio in zip(stay, ratios, strict=True) if ratio >= 1 or i in (0, 6)]
    assert found.labels == ("bad", "good") and found.aggregation == "log_sum_prob"
    assert list(found.all_words) == [listed[i] for i in kept]
    counts = np.bincount(owners[kept])
    weights = [w for own in found.weights for w in own]
    np.testing.assert_allclose(weights, 1 / (counts[owners[kept]] * priors[kept]), rtol=1e-3)


def test_the_classifier_s_probabilities_are_the_paper_s(backbone):
    verbalizer = refine_words(backbone, HARD, WORDS, TEXTS)
    listed, new = list(verbalizer.all_words), ["A dull film.", "这部电影很好。"]
    everything = [*WORDS["bad"], *WORDS["good"]]
    chosen = [everything.index(word) for word in listed]
    priors = probabilities(backbone, HARD, everything, TEXTS).mean(0)[chosen]
    calibrated = probabilities(backbone, HARD, everything, new)[:, chosen] / priors
    split = len(verbalizer.words[0])
    expected = np.stack([calibrated[:, :split].mean(1), calibrated[:, split:].mean(1)], 1)
    found = PromptClassifier(backbone, HARD, verbalizer).predict_proba(new)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-4)


def test_nothing_need_be_dropped(backbone):
    found = refine_words(backbone, HARD, WORDS, TEXTS, frequency=0, relevance=0)
    assert found.words == (tuple(WORDS["bad"]), tuple(WORDS["good"]))


def test_learnt_weights_fit_the_labels(backbone, tmp_path):
    plain, learnt = (
        refine_words(backbone, HARD, WORDS, TEXTS, labels, frequency=0, penalty=0.1) for labels in (None, LABELS)
    )
    assert plain.words == learnt.words and plain.weights != learnt.weights

    def loss(verbalizer):
        chances = PromptClassifier(backbone, HARD, verbalizer).predict_proba(TEXTS)
        return -np.log(chances[np.arange(len(TEXTS)), [int(label == "good") for label in LABELS]]).mean()

    assert loss(learnt) < loss(plain)
    assert refine_words(backbone, HARD, WORDS, TEXTS, LABELS, frequency=0, penalty=0.1) == learnt
    # and it goes where every verbalizer goes
    soft = PromptClassifier(backbone, "<soft*2> " + HARD, learnt, epochs=1, random_state=0).fit(TEXTS, LABELS)
    soft.save(tmp_path / "prompt")
    again = PromptClassifier.load(tmp_path / "prompt", model=backbone)
    assert again.verbalizer == learnt
    np.testing.assert_array_equal(again.predict_proba(TEXTS), soft.predict_proba(TEXTS))


def test_words_that_the_model_cannot_use_are_dropped():
    words = {"bad": ["bad", "Bad", "dull \U0001f600", "very bad"], "good": ["good", "GOOD", "very good"]}
    found = refine_words(models.backbone("bert"), HARD, words, TEXTS, frequency=0, relevance=0)
    assert found.words == (("bad", "very bad"), ("good", "very good"))  # one case, and no emoji
    found = refine_words(models.backbone("bert"), HARD, words, TEXTS, frequency=0, relevance=0, max_tokens=1)
    assert found.words == (("bad",), ("good",))


def test_words_that_begin_with_another_label_s_go_where_they_cannot_win():
    words = {"bad": ["bad", "good for nothing", "bad fun"], "good": ["good", "good fun"]}
    for template, norm, stays in (
        (HARD, "none", False),
        (HARD + ", really", "none", True),
        (HARD, "token", True),
    ):
        found = refine_words(
            models.backbone("llama"), template, Verbalizer(words, length_norm=norm), TEXTS, frequency=0, relevance=0
        )
        assert ("good for nothing" in found.all_words) == stays
        assert {"bad fun", "good fun"} <= {*found.all_words} and found.length_norm == norm


def test_names_that_the_model_cannot_use_are_told():
    bert = models.backbone("bert")
    with pytest.raises(EncodingError, match="label word '\U0001f600' is unknown to this model's vocabulary"):
        refine_words(bert, HARD, {"bad": ["\U0001f600", "bad"], "good": "good"}, TEXTS)
    with pytest.raises(VerbalizerError, match="has the same tokens in this model's vocabulary"):
        refine_words(bert, HARD, {"bad": ["Bad"], "good": ["bad", "good"]}, TEXTS)


def test_names_may_be_longer_than_other_words():
    words = {"bad": ["a waste of time", "bad"], "good": ["a delight", "good"]}
    found = refine_words(models.backbone("llama"), HARD, words, TEXTS, max_tokens=1, frequency=0, relevance=0)
    assert found.first_words == ("a waste of time", "a delight")


MISTAKES = [
    (
        {"template": "<soft*2> <text> <mask>"},
        ParameterError,
        "the soft slots of .* are not trained yet; refine the words",
    ),
    ({"template": "<demos*2><text> <mask>"}, ParameterError, "the demonstrations of .* are chosen in fit"),
    ({"texts": []}, ParameterError, "no texts to refine words by"),
    ({"words": None}, ParameterError, "no words to refine"),
    ({"frequency": 1}, ParameterError, "frequency=1, but it has to be a number from 0 to below 1"),
    ({"frequency": float("nan")}, ParameterError, "frequency=nan"),
    ({"relevance": -1}, ParameterError, "relevance=-1, but it has to be a number of at least 0"),
    ({"penalty": 0}, ParameterError, "penalty=0, but it has to be a number above 0"),
    ({"frequency": "0.5"}, ParameterError, "frequency='0.5', but"),
    ({"relevance": None}, ParameterError, "relevance=None, but"),
    ({"penalty": "1"}, ParameterError, "penalty='1', but"),
    ({"max_tokens": 1.5}, ParameterError, "max_tokens=1.5, but it has to be an integer of at least 1 or None"),
    ({"max_length": "128"}, ParameterError, "max_length='128', but"),
    ({"labels": ["good"]}, DataError, f"X has {len(TEXTS)} examples but y has 1 labels"),
    ({"labels": ["god"] * len(TEXTS)}, DataError, "row 0 has label 'god', which the verbalizer does not name"),
    ({"texts": "one text"}, DataError, "X has to be a list of texts"),
    ({"words": {"bad": ["bad", "poor"], "good": ["poor"]}}, VerbalizerError, "'poor' is given for label 'good' and"),
]


@pytest.mark.parametrize(("change", "error", "message"), MISTAKES)
def test_mistakes_are_explained_before_a_model_is_loaded(change, error, message):
    arguments = {"model": "no such model", "template": HARD, "words": WORDS, "texts": TEXTS}
    with pytest.raises(error, match=message):
        refine_words(**(arguments | change))


def test_a_library_list_with_a_real_model(bert_tiny):
    texts = [
        "A delight from the first scene to the last.",
        "Dull.",
        "I wanted to like it, but the story goes nowhere.",
        "Great fun - see it twice!",
    ]
    labels = ["positive", "negative", "negative", "positive"]
    card = load_verbalizer("sentiment/en-knowledge")
    found = refine_words(bert_tiny, "It was <mask>. <text>", "sentiment/en-knowledge", texts)
    for label, own in zip(found.labels, found.words, strict=True):
        assert own[0] == label and 10 < len(own) <= len(card.words[label]) / 2 + 1
        assert set(own) < set(card.words[label])
    learnt = refine_words(bert_tiny, "It was <mask>. <text>", "sentiment/en-knowledge", texts, labels)
    assert learnt.words == found.words
    assert PromptClassifier(bert_tiny, "It was <mask>. <text>", learnt).score(texts, labels) >= PromptClassifier(
        bert_tiny, "It was <mask>. <text>", found
    ).score(texts, labels)


def test_a_chinese_list():
    """Byte-level tokens, so that any character is known."""
    found = refine_words(
        models.backbone("gpt2"), "<text>总之，很<mask>", "sentiment/zh-knowledge", ["这本书很好。", "太差了"]
    )
    assert found.first_words == ("失望", "满意")
    assert all(len(own) > 10 for own in found.words)
