"""Selection of demonstrations: balanced, alternating, seeded, nearest, and never the example itself."""

import warnings
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from support import models

from softcloze.demonstrations import Pool, mean_states, select_demonstrations
from softcloze.demonstrations.pool import allocate, alternate_labels
from softcloze.errors import ParameterError

WORDS = ("bad", "good")
LETTERS = TfidfVectorizer(analyzer="char")


def pool_of(texts, labels, words=WORDS):
    return Pool(tuple({"text": text} for text in texts), tuple(labels), words)


@pytest.fixture(scope="module")
def pool():
    return pool_of(models.SENTENCES, [row % 2 for row in range(len(models.SENTENCES))])


@pytest.fixture(scope="module")
def backbone():
    return models.backbone("llama")


def chosen(how, pool, count, seed=0, inputs=("It was good, really.",), backbone=None):
    """Texts and words of the demonstrations of each input, and of each example of the pool."""
    backbone = backbone if backbone is not None else models.backbone("llama")
    for_new, own = select_demonstrations(how, pool, count, backbone, np.random.default_rng(seed))
    new = for_new.select([{"text": text} for text in inputs], backbone)
    return tuple([[(d.values["text"], d.word) for d in shown] for shown in lists] for lists in (new, own))


class TestBalance:
    @pytest.mark.parametrize(
        ("count", "sizes", "expected"),
        [
            (4, [9, 9], [2, 2]),
            (5, [9, 9], [3, 2]),
            (1, [9, 9, 9], [1, 0, 0]),
            (8, [1, 9], [1, 4]),
            (3, [1, 9], [1, 2]),
            (6, [0, 2, 9], [0, 2, 2]),
            (2, [0, 0], [0, 0]),
        ],
    )
    def test_shares(self, count, sizes, expected):
        assert allocate(count, sizes) == expected

    def test_labels_alternate_and_the_best_row_is_last(self):
        labels = [0, 0, 0, 1, 1, 2]
        rows = alternate_labels([1, 3, 0, 5, 2, 4], labels, order=[0, 1, 2], shares=[2, 2, 1])
        assert rows == [4, 0, 5, 3, 1]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(1, 12), st.randoms())
    def test_any_pool(self, labels, count, dice):
        ranked = list(range(len(labels)))
        dice.shuffle(ranked)
        sizes = [labels.count(label) for label in range(3)]
        shares = allocate(count, sizes)
        rows = alternate_labels(ranked, labels, [0, 1, 2], shares)
        assert len(set(rows)) == len(rows) <= count
        found = Counter(labels[row] for row in rows)
        assert [found[label] for label in range(3)] == shares
        assert max(shares) <= -(-count // 3)
        for label in range(3):  # the best of each label, the best one last
            best = [row for row in ranked if labels[row] == label][: shares[label]]
            assert [row for row in rows if labels[row] == label] == best[::-1]
        if min(shares) == max(shares):
            turns = [labels[row] for row in rows]
            assert turns == turns[:3] * shares[0]


class TestRandom:
    @pytest.mark.parametrize("count", [2, 4, 7, 8])
    def test_labels_alternate_and_all_inputs_share_one_list(self, pool, backbone, count):
        for_new, _ = select_demonstrations("random", pool, count, backbone, np.random.default_rng(0))
        shown = for_new.select([{"text": "good"}, {"text": "差"}], backbone)
        assert shown[0] is shown[1]
        words = [d.word for d in shown[0]]
        assert len(words) == count
        assert all(a != b for a, b in pairwise(words))

    def test_the_seed_decides(self, pool):
        assert chosen("random", pool, 6, seed=1) == chosen("random", pool, 6, seed=1)
        draws = {tuple(chosen("random", pool, 6, seed=seed)[0][0]) for seed in range(10)}
        assert len(draws) == 10
        last = {draw[-1][1] for draw in draws}
        assert last == set(WORDS)  # neither label always stands next to the input

    def test_words_match_labels(self, pool):
        ((shown,), _) = chosen("random", pool, 6)
        number = {text: i for i, text in enumerate(models.SENTENCES)}
        assert all(word == WORDS[number[text] % 2] for text, word in shown)

    def test_examples_of_the_pool_share_the_fixed_demonstrations_unless_shown_themselves(self, pool):
        ((fixed,), own) = chosen("random", pool, 4)
        texts = {text for text, _ in fixed}
        for text, shown in zip(models.SENTENCES, own, strict=True):
            assert (shown == fixed) == (text not in texts)


@pytest.mark.parametrize("how", ["random", "nearest", LETTERS], ids=["random", "nearest", "letters"])
class TestExclusionOfItself:
    @pytest.mark.parametrize("count", [2, 5, 24])
    def test_no_example_sees_itself(self, pool, how, count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            _, own = chosen(how, pool, count)
        for text, shown in zip(models.SENTENCES, own, strict=True):
            assert shown
            assert text not in [shown_text for shown_text, _ in shown]

    def test_no_example_sees_a_duplicate(self, how):
        texts = ["好", "good", "bad", "good", "fine", "差", "good", "dull"]
        _, own = chosen(how, pool_of(texts, [1, 1, 0, 0, 1, 0, 1, 0]), 2)
        for text, shown in zip(texts, own, strict=True):
            assert len(shown) == 2
            assert text not in [shown_text for shown_text, _ in shown]

    def test_label_counts_do_not_reveal_the_label_of_an_example(self, how):
        texts = ["good", "great", "fine", "bad", "dull", "bad", "差"]
        labels = [1, 1, 1, 0, 0, 0, 0]
        _, own = chosen(how, pool_of(texts, labels), 6)
        # "bad" stands there twice and itself is put aside, so of either label two are left for everyone
        assert [Counter(word for _, word in shown) for shown in own] == [Counter(bad=2, good=2)] * len(texts)

    def test_too_few_examples_warn_once(self, how):
        texts = ["good", "great", "fine", "bad", "nice"]
        with pytest.warns(
            UserWarning, match=r"asks for 8 .* only 5 are available: 'bad' has 1, 'good' has 4"
        ) as caught:
            ((shown,), own) = chosen(how, pool_of(texts, [1, 1, 1, 0, 1]), 8)
        assert len(caught) == 1
        assert Counter(word for _, word in shown) == Counter(good=4, bad=1)
        # the only one of its label cannot be shown to itself, and so to nobody
        assert all(Counter(word for _, word in seen) == Counter(good=3) for seen in own)


class TestNearest:
    def test_the_nearest_of_each_label_with_the_nearest_of_all_last(self, pool, backbone):
        texts = ["It was good, and the acting was quite good.", "书的内容很好，值得看。", "Dull people!"]
        vectors = mean_states(backbone, [*models.SENTENCES, *texts]).double().numpy()
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        alike = vectors[24:] @ vectors[:24].T
        shown, _ = chosen("nearest", pool, 4, inputs=texts)
        for cosines, found in zip(alike, shown, strict=True):
            rows = [models.SENTENCES.index(text) for text, _ in found]
            best = {label: sorted(range(label, 24, 2), key=lambda row: -cosines[row])[:2] for label in (0, 1)}
            assert sorted(rows) == sorted([*best[0], *best[1]])
            assert rows[-1] == cosines.argmax()
            assert cosines[rows[2]] > cosines[rows[0]]
            assert cosines[rows[3]] > cosines[rows[1]]
            assert [row % 2 for row in rows] == [rows[0] % 2, 1 - rows[0] % 2] * 2

    @pytest.mark.parametrize("architecture", ["bert", "gpt2", "albert"])
    def test_a_near_copy_is_found(self, pool, architecture):
        inputs = [f"{text}." for text in models.SENTENCES]
        shown, _ = chosen("nearest", pool, 2, inputs=inputs, backbone=models.backbone(architecture))
        hits = sum(found[-1][0] == text for text, found in zip(models.SENTENCES, shown, strict=True))
        assert hits >= 22

    def test_an_input_that_is_in_the_pool_does_not_see_itself(self, pool):
        shown, _ = chosen("nearest", pool, 4, inputs=models.SENTENCES)
        for text, found in zip(models.SENTENCES, shown, strict=True):
            assert len(found) == 4
            assert text not in [shown_text for shown_text, _ in found]

    def test_equally_near_ones_come_in_the_order_of_the_pool(self):
        texts = ["bad film", "good film", "bad film", "good film"]
        ((found,), _) = chosen("nearest", pool_of(texts, [0, 1, 1, 0]), 4, inputs=["a bad film"])
        assert found == [("good film", "good"), ("good film", "bad"), ("bad film", "good"), ("bad film", "bad")]

    def test_other_inputs_do_not_matter(self, pool):
        inputs = ["It was fine.", "a", "很差，很差，很差。" * 4, "A dull story."]
        together, _ = chosen("nearest", pool, 4, inputs=inputs)
        assert together == [chosen("nearest", pool, 4, inputs=[text])[0][0] for text in inputs]

    def test_no_inputs(self, pool):
        assert chosen("nearest", pool, 4, inputs=[])[0] == []

    def test_an_empty_text(self, pool):
        ((found,), _) = chosen("nearest", pool, 4, inputs=[""], backbone=models.backbone("gpt2"))
        assert len(found) == 4

    def test_fields_are_joined_by_line_breaks(self, backbone):
        values = tuple({"title": title, "text": text} for title, text in [("书", "很好"), ("film", "bad")])
        for_new, _ = select_demonstrations(
            "nearest", Pool(values, (1, 0), WORDS), 2, backbone, np.random.default_rng(0)
        )
        expected = mean_states(backbone, ["书\n很好", "film\nbad"]).numpy()
        np.testing.assert_allclose(for_new.vectors, expected, atol=1e-6)


class TestTransformer:
    @pytest.mark.parametrize(
        "transformer",
        [LETTERS, make_pipeline(TfidfVectorizer(analyzer="char"), TruncatedSVD(5, random_state=0))],
        ids=["sparse", "dense"],
    )
    def test_vectors_of_the_transformer_decide(self, pool, transformer):
        ((found,), _) = chosen(transformer, pool, 2, inputs=["这部电影很好，演员也很好"])
        assert found[-1] == ("这部电影很好，演员也很好。", "bad")

    def test_the_given_transformer_is_not_fitted(self, pool):
        given = TfidfVectorizer()
        chosen(given, pool, 2)
        assert not hasattr(given, "vocabulary_")

    def test_the_transformer_is_fitted_to_texts_and_labels(self, pool):
        class Learner:
            seen = None

            def fit(self, texts, labels):
                type(self).seen = (texts, labels)

            def transform(self, texts):
                return [[len(text), 1.0] for text in texts]

        ((found,), _) = chosen(Learner(), pool, 2, inputs=["x" * 25])
        assert Learner.seen == (models.SENTENCES, list(pool.labels))
        assert len(found) == 2

    def test_a_transformer_without_fit(self, pool):
        class Length:
            def transform(self, texts):
                return np.array([[len(text), 10.0] for text in texts])

        ((found,), _) = chosen(Length(), pool, 2, inputs=["x" * 39])
        assert found[-1][0] == min(models.SENTENCES, key=lambda text: abs(len(text) - 39))

    def test_a_transformer_that_loses_rows_raises(self, pool):
        class Short:
            def transform(self, texts):
                return np.ones((1, 3))

        with pytest.raises(ParameterError, match="gave 1 vectors for 24 texts"):
            chosen(Short(), pool, 2)

    @pytest.mark.parametrize(
        ("how", "match"),
        [
            ("nearst", r"demonstrations='nearst', but it has to be .*did you mean 'nearest'\?"),
            (None, "demonstrations=None, but it has to be"),
            (3, "demonstrations=3, but it has to be"),
            (TfidfVectorizer, "TfidfVectorizer"),
        ],
    )
    def test_an_unknown_method_raises(self, pool, how, match):
        with pytest.raises(ParameterError, match=match):
            chosen(how, pool, 2)
