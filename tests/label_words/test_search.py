"""From labelled texts to a verbalizer."""

import numpy as np
import pytest
from support import models

from softcloze import PromptClassifier, SoftclozeError, Verbalizer, search_label_words
from softcloze.errors import DataError, FieldError, ParameterError

GOOD = ["A delight from the first scene to the last.", "A great film with a great cast.", "I liked the story."]
BAD = ["A dull film about dull people.", "Terrible acting, terrible story!", "I did not like the end."]
TEXTS, LABELS = GOOD + BAD, ["pos"] * 3 + ["neg"] * 3
ENGLISH, CHINESE = "<text> It was <mask>", "<text> 总之，很<mask>"


@pytest.mark.parametrize("method", ["petal", "lm-bff"])
@pytest.mark.parametrize(
    ("architecture", "source"), [("bert", ENGLISH), ("bert", CHINESE), ("gpt2", ENGLISH), ("gemma3_text", CHINESE)]
)
def test_the_result_is_a_verbalizer(architecture, source, method):
    backbone = models.backbone(architecture)
    found = search_label_words(backbone, source, TEXTS, LABELS, method=method, words=2)
    assert found.labels == ("neg", "pos") and [len(own) for own in found.words] == [2, 2]
    assert found == Verbalizer(found.label_words())
    classifier = PromptClassifier(backbone, source, found)
    assert {len(word) for word in classifier.fit(TEXTS, LABELS).predict_proba(TEXTS)} == {2}


def test_words_that_are_learnt_separate_what_they_were_found_in():
    backbone = models.backbone("bert")
    found = search_label_words(backbone, ENGLISH, TEXTS, LABELS)
    assert PromptClassifier(backbone, ENGLISH, found).fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1


NAMED = ["good"] * 3 + ["bad"] * 3


@pytest.mark.parametrize("method", ["petal", "lm-bff"])
def test_labels_that_are_words_come_first(method):
    backbone = models.backbone("bert")
    found = search_label_words(backbone, ENGLISH, TEXTS, NAMED, method=method, words=3)
    assert [own[0] for own in found.words] == ["bad", "good"]
    assert len({word for own in found.words for word in own}) == 6
    others = search_label_words(backbone, ENGLISH, TEXTS, NAMED, method=method, words=3, start={})
    renamed = search_label_words(backbone, ENGLISH, TEXTS, LABELS, method=method, words=3)  # "neg" is no word
    assert list(others.words) == list(renamed.words) != list(found.words)
    assert search_label_words(backbone, ENGLISH, TEXTS, NAMED, words=1).label_words() == {
        "bad": ["bad"],
        "good": ["good"],
    }


def test_words_to_start_with():
    found = search_label_words(
        models.backbone("bert"), CHINESE, TEXTS, LABELS, start={"pos": "好", "neg": "差"}, words=2
    )
    assert [(own[0], len(own)) for own in found.words] == [("差", 2), ("好", 2)]


def test_labels_in_any_order_and_number():
    backbone = models.backbone("bert")
    texts = [*TEXTS, "这部电影很差", "太差了", *GOOD]
    labels = [7] * 3 + [-1] * 3 + [0] * 2 + [7] * 3
    order = np.random.default_rng(0).permutation(len(texts))
    found = search_label_words(backbone, ENGLISH, [texts[i] for i in order], np.array(labels)[order], words=1)
    assert found.labels == (-1, 0, 7)
    assert len({word for own in found.words for word in own}) == 3


def test_the_same_seed_finds_the_same_words():
    backbone = models.backbone("gpt2")
    first, again = (search_label_words(backbone, ENGLISH, TEXTS, LABELS, random_state=1) for _ in range(2))
    assert first == again


def test_pairs_of_texts_and_names_of_the_library():
    backbone = models.backbone("bert")
    pairs = [{"premise": text, "hypothesis": "It was good."} for text in TEXTS]
    found = search_label_words(backbone, "nli/en-cloze", pairs, LABELS, words=1)
    assert found.labels == ("neg", "pos")


def test_the_model_is_given_back_as_found():
    backbone = models.new_backbone("bert")
    backbone.model.train()
    search_label_words(backbone, ENGLISH, TEXTS, LABELS)
    assert backbone.model.training and all(parameter.requires_grad for parameter in backbone.model.parameters())


@pytest.mark.parametrize("seed", range(2))
def test_bert_tiny(bert_tiny, seed):
    found = search_label_words(bert_tiny, "<text> It was <mask>.", TEXTS * 2, LABELS * 2, random_state=seed)
    for word in found.all_words:
        assert bert_tiny.tokenizer.tokenize(word) == [word]


MISTAKES = [
    ({"method": "petl"}, r"^method='petl', but it has to be 'petal' or 'lm-bff'; did you mean 'petal'\?$"),
    ({"method": ["petal"]}, r"^method=\['petal'\], but it has to be 'petal' or 'lm-bff'$"),
    ({"start": ["good"]}, r"^start=\['good'\]: expected a mapping from each label to its first word$"),
    ({"start": "good"}, r"^start='good': expected a mapping from each label to its first word$"),
    ({"start": {"pos": ["good"], "neg": ["bad"]}}, r"^start=.*: expected a mapping from each label to its first word$"),
    ({"words": 0}, r"^words=0, but it has to be an integer of at least 1$"),
    ({"words": "3"}, r"^words='3', but it has to be an integer of at least 1$"),
    ({"max_length": 12.5}, r"^max_length=12.5, but it has to be an integer of at least 1 or None$"),
    ({"random_state": "0"}, r"^random_state='0', but it has to be an integer of at least 0$"),
    ({"texts": [], "labels": []}, r"^no examples: give labelled texts$"),
    (
        {"labels": ["a", "b", "b", "b", "b", "c"]},
        r"^only one example of 'a', 'c', and cross-validation needs at least 2 of each label; 16 are a good",
    ),
    (
        {"template": "<soft*4> <text> It was <mask>"},
        r"soft slots .* search with the hard part, '<text> It was <mask>', then fit",
    ),
    ({"template": "<demos*2> <text> It was <mask>"}, r"^the demonstrations of .* search without <demos>$"),
    ({"template": "<text> (<options>): <mask>"}, r"^<options> in .* search without it$"),
    ({"template": "<text> 总之，<mask*2>"}, r"words of one token, but .* has <mask\*2>; write <mask>$"),
    ({"start": {"pos": "good"}}, r"^start has words for \['pos'\], but the labels are \['neg', 'pos'\]$"),
    (
        {"start": {"pos": "good", "neg": "badly made"}},
        r"^start has 'badly made', which is \d tokens at the mask of '<text> It was <mask>'; the search combines",
    ),
    ({"start": {"pos": "good", "neg": "good"}}, r"^start has one word for two labels: \['good', 'good'\]$"),
    ({"words": 500}, r"^1000 words are wanted, 500 for each of 2 labels, but the vocabulary of bert has only \d+ "),
    (
        {"model": "gpt2", "template": "<text> It was <mask>, I think."},
        r"^text after <mask> takes gpt2 a forward pass for every word .* with the mask$",
    ),
]


@pytest.mark.parametrize("changes, message", MISTAKES)
def test_mistakes(changes, message):
    given = {"model": "bert", "template": ENGLISH, "texts": TEXTS, "labels": LABELS} | changes
    given["model"] = models.backbone(given["model"])
    with pytest.raises(ParameterError, match=message) as error:
        search_label_words(**given)
    assert isinstance(error.value, SoftclozeError) and isinstance(error.value, ValueError)


def test_mistakes_in_examples():
    backbone = models.backbone("bert")
    with pytest.raises(DataError, match="list of texts"):
        search_label_words(backbone, ENGLISH, "A dull film.", LABELS)
    with pytest.raises(DataError, match=r"^X has 5 examples but y has 6 labels$"):
        search_label_words(backbone, ENGLISH, TEXTS[:5], LABELS)
    with pytest.raises(DataError, match=r"^y holds only the label 'pos'; fitting takes examples of at least two"):
        search_label_words(backbone, ENGLISH, TEXTS, ["pos"] * 6)
    with pytest.raises(DataError, match=r"^row 1 has the label None, a missing value: drop it or label it$"):
        search_label_words(backbone, ENGLISH, TEXTS, ["a", None, "a", "b", "b", "b"])
    with pytest.raises(FieldError, match="row 2"):
        search_label_words(backbone, ENGLISH, [{"text": "good"}] * 2 + [{"txt": "good"}] * 4, LABELS)
