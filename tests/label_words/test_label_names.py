"""Label words from the names of labels."""

import pytest

from softcloze.label_words.label_names import like_tables, name_verbalizer


@pytest.mark.parametrize(
    "labels", [["positive", "negative"], ["Negative", "Positive"], ["pos", "neg"], ["积极", "消极"]]
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_names_of_a_known_task_in_either_language_find_its_tables(labels, language):
    tables = like_tables(labels, language)
    assert f"sentiment/{language}" in tables
    good = labels[[label.lower() in ("positive", "pos", "积极") for label in labels].index(True)]
    assert tables[f"sentiment/{language}"].label_words()[good] == [{"en": "positive", "zh": "满意"}[language]]


@pytest.mark.parametrize("labels", [["billing", "delivery"], ["positive", "delivery"], [0, 1], ["good", "great"]])
def test_names_of_which_one_is_unknown_or_two_mean_the_same_find_none(labels):
    assert like_tables(labels, "en") == {}


@pytest.mark.parametrize("labels", [[0, 1], ["1", "2"], ["a", "b"], ["A-B", "a b"]])
def test_names_without_words_of_their_own_are_no_label_words(labels):
    assert name_verbalizer(labels) is None


def test_a_further_label_has_its_own_name_as_word():
    words = like_tables(["positive", "negative", "neutral"], "zh")["sentiment/zh"].label_words()
    assert words == {"negative": ["失望"], "neutral": ["neutral"], "positive": ["满意"]}


def test_numbers_have_the_names_of_their_classes():
    names = {0: "neg", 1: "pos"}
    assert name_verbalizer([0, 1], names).label_words() == {0: ["neg"], 1: ["pos"]}
    by_number = like_tables([0, 1], "en", names)
    by_name = like_tables(["neg", "pos"], "en")
    assert by_number.keys() == by_name.keys() != set()
    for table, words in by_name.items():
        assert list(by_number[table].label_words().values()) == list(words.label_words().values())
