"""Label words: what is refused, and how word scores become label scores."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.errors import SoftclozeError
from softcloze.verbalizer import Verbalizer, VerbalizerError
from softcloze.verbalizer.verbalizer import AGGREGATIONS

TABLE = {"good": ["great", "fine"], "bad": ["awful"], "mixed": "so-so"}

MISTAKES = [
    (({"a": "x"},), r"a verbalizer maps at least two labels to words, got \{'a': 'x'\}"),
    (({},), r"a verbalizer maps at least two labels to words, got \{\}"),
    (([("a", "x"), ("b", "y")],), r"a verbalizer maps at least two labels to words"),
    (({"a": "x", 1: "y"},), r"labels must all be str or all be int, got \['a', 1\]"),
    (({"a": "x", "b": []},), r"label 'b' has no words"),
    (({"a": "x", "b": ["y", ""]},), r"label 'b' has '' among its words; expected text"),
    (({"a": "x", "b": " \n"},), r"label 'b' has ' \\n' among its words; expected text"),
    (({"a": "x", "b": ["y", 3]},), r"label 'b' has 3 among its words; expected text"),
    (({"a": "x", "b": "x"},), r"'x' stands for label 'b' and, as 'x', for label 'a'; each word may stand for one"),
    (({"a": ["x", "x"], "b": "y"},), r"'x' stands for label 'a' and, as 'x', for label 'a'"),
    (({"a": "x", "b": " x "},), r"' x ' stands for label 'b' and, as 'x', for label 'a'"),
    ((TABLE, "sum"), r"aggregate='sum' is unknown; expected log_mean_prob, mean_log_prob, max_log_prob"),
    # those below are no words or labels at all
    (({"a": "x", "b": None},), r"'b'"),
    (({"a": "x", "b": 3},), r"'b'"),
    (({1.5: "x", 2.5: "y"},), r"labels must all be str or all be int"),
    (({(1,): "x", (2,): "y"},), r"labels must all be str or all be int"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_explained(arguments, message):
    with pytest.raises(VerbalizerError, match=message) as caught:
        Verbalizer(*arguments)
    assert isinstance(caught.value, SoftclozeError)
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_labels_are_in_the_order_of_scikit_learn():
    verbalizer = Verbalizer(TABLE)
    assert verbalizer.labels == ("bad", "good", "mixed")
    assert verbalizer.words == (("awful",), ("great", "fine"), ("so-so",))
    assert verbalizer.all_words == ("awful", "great", "fine", "so-so")
    assert Verbalizer({10: "a", 9: "b"}).labels == (9, 10)
    assert verbalizer.as_dict() == {"bad": ["awful"], "good": ["great", "fine"], "mixed": ["so-so"]}


def test_equality_and_copies():
    verbalizer = Verbalizer(TABLE)
    again = Verbalizer(verbalizer.as_dict())
    assert verbalizer == again
    assert hash(verbalizer) == hash(again)
    assert verbalizer != Verbalizer(TABLE, "max_log_prob")
    assert verbalizer != TABLE
    assert pickle.loads(pickle.dumps(verbalizer)) == verbalizer
    assert eval(repr(verbalizer), {"Verbalizer": Verbalizer}) == verbalizer  # noqa: S307


def by_hand(name, scores):
    """The aggregation of one row's scores of one label, from its definition, on probabilities."""
    probabilities = np.exp(np.asarray(scores, dtype=np.float64))
    return {
        "log_mean_prob": np.log(np.mean(probabilities)),
        "mean_log_prob": np.mean(np.log(probabilities)),
        "max_log_prob": np.log(np.max(probabilities)),
    }[name]


counts = st.lists(st.integers(1, 4), min_size=2, max_size=4)


@pytest.mark.parametrize("name", AGGREGATIONS)
@settings(deadline=None, max_examples=100)
@given(counts=counts, data=st.data())
def test_aggregation(name, counts, data):
    verbalizer = Verbalizer({label: [f"w{label}.{i}" for i in range(n)] for label, n in enumerate(counts)}, name)
    score = st.floats(-20, 0)
    rows = data.draw(st.lists(st.lists(score, min_size=sum(counts), max_size=sum(counts)), min_size=1, max_size=3))
    found = verbalizer.label_scores(torch.tensor(rows, dtype=torch.float64)).numpy()
    ends = np.cumsum(counts)
    expected = [[by_hand(name, row[end - n : end]) for n, end in zip(counts, ends, strict=True)] for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    shifted = verbalizer.label_scores(torch.tensor(rows, dtype=torch.float64) + 7).numpy()
    np.testing.assert_allclose(shifted, found + 7, atol=1e-9)


@pytest.mark.parametrize("name", AGGREGATIONS)
@settings(deadline=None, max_examples=50)
@given(order=st.permutations(list(TABLE)), seed=st.integers(0, 2**31))
def test_the_order_in_which_labels_are_written_does_not_matter(name, order, seed):
    verbalizer = Verbalizer({label: TABLE[label] for label in order}, name)
    assert verbalizer == Verbalizer(TABLE, name)
    scores = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
    by_word = dict(zip(Verbalizer(TABLE).all_words, scores.T, strict=True))
    arranged = torch.stack([by_word[word] for word in verbalizer.all_words], -1)
    assert torch.equal(verbalizer.label_scores(arranged), Verbalizer(TABLE, name).label_scores(scores))


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_gradients_reach_the_words(name):
    scores = torch.tensor([[-1.0, -2.0, -0.5, -3.0]], requires_grad=True)
    Verbalizer(TABLE, name).label_scores(scores).sum().backward()
    assert scores.grad.sum() == pytest.approx(3)


def test_words_with_the_same_tokens_are_refused():
    verbalizer = Verbalizer({"a": ["Good", "fine"], "b": "good"})
    message = "'good' has the same tokens in this model's vocabulary for label 'b' and, as 'Good', for label 'a'"
    for chained in (False, True):
        with pytest.raises(VerbalizerError, match=message):
            verbalizer.check_tokens([(5,), (6,), (5,)], chained=chained)


def test_a_word_that_another_label_begins_with_is_refused_in_a_chain():
    verbalizer = Verbalizer({"a": ["good"], "b": ["bad", "good for nothing"]})
    ids = [(5,), (6,), (5, 7, 8)]
    message = "'good for nothing' of label 'b' begins with the tokens of 'good' of label 'a'"
    with pytest.raises(VerbalizerError, match=message):
        verbalizer.check_tokens(ids, chained=True)
    assert verbalizer.check_tokens(ids, chained=False) is verbalizer
    with pytest.raises(VerbalizerError, match="begins with the tokens of"):
        Verbalizer({"a": "good for nothing", "b": "good"}).check_tokens([(5, 7, 8), (5,)], chained=True)


def test_words_of_one_label_may_begin_alike():
    verbalizer = Verbalizer({"a": ["good", "good fun"], "b": "bad"})
    assert verbalizer.check_tokens([(5,), (5, 7), (6,)], chained=True) is verbalizer
    shared = Verbalizer({"a": "very good", "b": "very bad"})
    assert shared.check_tokens([(5, 7), (5, 8)], chained=True) is shared
