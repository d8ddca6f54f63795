"""Random texts of a domain: its words and lengths, in English and in Chinese."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.calibration import domain_texts
from softcloze.errors import ParameterError

ENGLISH = ["A dull film.", "Wonderful, really wonderful acting!", "I slept."]
CHINESE = ["这部电影很好看。", "剧情太差了，我睡着了！"]


def dice(seed=0):
    return np.random.default_rng(seed)


def test_english_texts_are_words_between_spaces():
    words = {word for text in ENGLISH for word in text.split()}
    drawn = domain_texts(ENGLISH, dice())
    assert len(drawn) == 20
    assert all(len(text.split(" ")) == 3 for text in drawn)  # nine words in three texts
    assert {word for text in drawn for word in text.split(" ")} == words


def test_chinese_texts_are_characters_without_spaces():
    drawn = domain_texts(CHINESE, dice(), count=50)
    assert all(len(text) == 10 for text in drawn)  # nineteen characters in two texts, rounded to the even number
    assert set("".join(drawn)) == set("".join(CHINESE))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["iPhone很好 用"], {"iPhone", "很", "好", "用"}),
        (["これはペンです"], set("これはペンです")),
        (["이 영화는 좋다"], {"이", "영화는", "좋다"}),
        (["二〇二四年　ＡＢ，完"], set("二〇二四年ＡＢ，完")),
        (["\t café\n naïve  "], {"café", "naïve"}),
        (["𠀀𪜀"], {"𠀀", "𪜀"}),
    ],
)
def test_what_counts_as_a_word(texts, words):
    singles = domain_texts([*texts, *[""] * 100], dice(), count=300)  # one word each, as the mean is below one
    assert set(singles) == words


def test_spaces_stand_only_between_words_that_need_them():
    drawn = domain_texts(["good fine 好 坏"], dice(), count=300)
    assert all(len(text.replace("good", "x").replace("fine", "x").replace(" ", "")) == 4 for text in drawn)
    for text in drawn:
        assert "goodfine" not in text
        assert not any(f"{a} {b}" in text for a in "好坏gfde" for b in "好坏")
        assert not any(f"{a} {b}" in text for a in "好坏" for b in "gf")
    assert any("good fine" in text for text in drawn)


def test_frequent_words_come_often():
    drawn = " ".join(domain_texts(["the the the end"], dice(), count=1000)).split()
    assert drawn.count("the") / len(drawn) == pytest.approx(0.75, abs=0.03)


@settings(deadline=None, max_examples=100)
@given(texts=st.lists(st.text(), min_size=1), seed=st.integers(0, 2**32), count=st.integers(1, 5))
def test_any_texts(texts, seed, count):
    if not any(text.split() for text in texts):
        with pytest.raises(ParameterError, match="have no words to draw from"):
            domain_texts(texts, dice(seed), count)
        return
    drawn = domain_texts(texts, dice(seed), count)
    assert len(drawn) == count
    assert all(text.split() for text in drawn)
    assert set("".join(drawn)) <= set("".join(texts)) | {" "}
    assert drawn == domain_texts(tuple(texts), dice(seed), count)


def test_dice_are_used_up_and_no_others_are():
    generator = dice()
    before = np.random.get_state()[1].copy()
    assert domain_texts(ENGLISH, generator) != domain_texts(ENGLISH, generator)
    assert np.array_equal(np.random.get_state()[1], before)


MISTAKES = [
    (lambda: domain_texts([], dice()), "0 texts have no words to draw from; give the texts to classify"),
    (
        lambda: domain_texts(["", " \n", "\u3000"], dice()),
        "3 texts have no words to draw from; give the texts to classify",
    ),
    (lambda: domain_texts("很好", dice()), "texts must be a list of texts, found str with '很好'"),
    (lambda: domain_texts(["a", None], dice()), "texts must be a list of texts, found list with ['a', None]"),
    (lambda: domain_texts(["a"], dice(), 0), "count=0, but it has to be an integer of at least 1"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_are_explained(mistake, message):
    with pytest.raises(ParameterError) as caught:
        mistake()
    assert str(caught.value) == message
