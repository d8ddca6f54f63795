"""Label words: what is refused, and how word scores become label scores."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.errors import SoftclozeError, VerbalizerError
from softcloze.verbalizer import Verbalizer
from softcloze.verbalizer.verbalizer import AGGREGATIONS

TABLE = {"good": ["great", "fine"], "bad": ["awful"], "mixed": "so-so"}

MISTAKES = [
    (({"a": "x"},), r"a verbalizer maps at least two labels to words, got \{'a': 'x'\}"),
    (({},), r"a verbalizer maps at least two labels to words, got \{\}"),
    (([("a", "x"), ("b", "y")],), r"a verbalizer maps at least two labels to words"),
    (({"a": "x", 1: "y"},), r"labels must all be str or all be int, and a verbalizer has 'a' \(str\) and 1 \(int\)"),
    (({"a": "x", "b": []},), r"label 'b' has no words"),
    (({"a": "x", "b": ["y", ""]},), r"label 'b' has '' among its words; expected text"),
    (({"a": "x", "b": " \n"},), r"label 'b' has ' \\n' among its words; expected text"),
    (({"a": "x", "b": np.array("y")},), r"label 'b' has array\('y', .*\) among its words; expected text"),
    (({"a": "x", "b": ["y", 3]},), r"label 'b' has 3 among its words; expected text"),
    (({"a": "x", "b": "x"},), r"'x' is given for label 'b' and, as 'x', for label 'a'; use each word for one label"),
    (({"a": ["x", "x"], "b": "y"},), r"'x' is given for label 'a' and, as 'x', for label 'a'"),
    (({"a": "x", "b": " x "},), r"' x ' is given for label 'b' and, as 'x', for label 'a'"),
    (
        (TABLE, "sum"),
        r"aggregation='sum' is unknown; expected log_mean_prob, mean_log_prob, max_log_prob, log_sum_prob",
    ),
    ((TABLE, "log_mean_prob", "tokens"), r"length_norm='tokens' is unknown; expected none, token, character, byte"),
    (
        (TABLE, "log_mean_prob", "none", "ltr"),
        r"decoding='ltr' is unknown; expected together, left_to_right, most_confident",
    ),
    (({"a": {"x": 0}, "b": "y"},), r"'x' of label 'a' has weight 0; expected a number above 0"),
    (({"a": {"x": True}, "b": "y"},), r"'x' of label 'a' has weight True"),
    (({"a": {"x": "2"}, "b": "y"},), r"'x' of label 'a' has weight '2'"),
    (({"a": {"x": float("inf")}, "b": "y"},), r"'x' of label 'a' has weight inf"),
    (({"a": {"x": float("nan")}, "b": "y"},), r"'x' of label 'a' has weight nan"),
    (({"a": {}, "b": "y"},), r"label 'a' has no words"),
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
    assert verbalizer.label_words() == {"bad": ["awful"], "good": ["great", "fine"], "mixed": ["so-so"]}


def test_equality_and_copies():
    verbalizer = Verbalizer(TABLE)
    again = Verbalizer(verbalizer.label_words())
    assert verbalizer == again
    assert hash(verbalizer) == hash(again)
    assert verbalizer != Verbalizer(TABLE, "max_log_prob")
    assert verbalizer != TABLE
    assert pickle.loads(pickle.dumps(verbalizer)) == verbalizer
    weighted = Verbalizer({"good": {"great": 2, "fine": 1}, "bad": "awful"}, length_norm="token")
    assert weighted == Verbalizer({"good": {"great": 2.0, "fine": 1.0}, "bad": ["awful"]}, length_norm="token")
    assert weighted.label_words() == {"bad": ["awful"], "good": {"great": 2.0, "fine": 1.0}}
    assert weighted != Verbalizer(weighted.label_words()) and weighted == Verbalizer(
        weighted.label_words(), length_norm="token"
    )
    assert weighted != Verbalizer({"good": ["great", "fine"], "bad": "awful"}, length_norm="token")
    in_turn = Verbalizer(TABLE, decoding="most_confident")
    assert in_turn.decoding == "most_confident" and verbalizer.decoding == "together"
    assert in_turn != verbalizer and in_turn != Verbalizer(TABLE, decoding="left_to_right")
    assert in_turn == Verbalizer(TABLE, decoding="most_confident") == pickle.loads(pickle.dumps(in_turn))
    assert len({verbalizer, in_turn, Verbalizer(TABLE, decoding="most_confident")}) == 2
    assert eval(repr(in_turn), {"Verbalizer": Verbalizer}) == in_turn  # noqa: S307
    assert eval(repr(weighted), {"Verbalizer": Verbalizer}) == weighted  # noqa: S307
    assert eval(repr(verbalizer), {"Verbalizer": Verbalizer}) == verbalizer  # noqa: S307


def by_hand(name, scores, weights):
    """The aggregation of one row's scores of one label, from its definition, on probabilities."""
    probabilities = np.exp(np.asarray(scores, dtype=np.float64))
    return {
        "log_mean_prob": np.log(np.average(probabilities, weights=weights)),
        "mean_log_prob": np.average(np.log(probabilities), weights=weights),
        "max_log_prob": np.log(np.max(weights * probabilities)),
        "log_sum_prob": np.log(np.sum(weights * probabilities)),
    }[name]


counts = st.lists(st.integers(1, 4), min_size=2, max_size=4)


@pytest.mark.parametrize("name", AGGREGATIONS)
@settings(deadline=None, max_examples=100)
@given(counts=counts, data=st.data())
def test_aggregation(name, counts, data):
    weights = [data.draw(st.lists(st.sampled_from([1, 1.0, 0.25, 3]), min_size=n, max_size=n)) for n in counts]
    table = {label: {f"w{label}.{i}": weight for i, weight in enumerate(own)} for label, own in enumerate(weights)}
    verbalizer = Verbalizer(table, name)
    score = st.floats(-20, 0)
    rows = data.draw(st.lists(st.lists(score, min_size=sum(counts), max_size=sum(counts)), min_size=1, max_size=3))
    found = verbalizer.label_scores(torch.tensor(rows, dtype=torch.float64)).numpy()
    ends = np.cumsum(counts)
    expected = [
        [by_hand(name, row[end - n : end], own) for n, end, own in zip(counts, ends, weights, strict=True)]
        for row in rows
    ]
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


def softmax(scores):
    odds = np.exp(scores - scores.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


@settings(deadline=None, max_examples=100)
@given(counts=counts, seed=st.integers(0, 2**31))
def test_the_mean_gives_the_probabilities_of_pet_and_of_openprompt(counts, seed):
    """PET takes the mean of raw logits, OpenPrompt that of logs of probabilities among the label words."""
    table = {label: [f"w{label}.{i}" for i in range(n)] for label, n in enumerate(counts)}
    logits = np.random.default_rng(seed).normal(scale=4, size=(5, sum(counts)))
    whole_vocabulary = np.c_[logits, np.random.default_rng(seed + 1).normal(size=(5, 50))]
    parts = np.cumsum(counts)[:-1]
    pet = softmax(np.stack([part.mean(-1) for part in np.split(logits, parts, -1)], -1))
    among_words = np.log(softmax(logits))
    openprompt = softmax(np.stack([part.mean(-1) for part in np.split(among_words, parts, -1)], -1))
    log_probs = np.log(softmax(whole_vocabulary))[:, : sum(counts)]
    ours = Verbalizer(table, "mean_log_prob").label_scores(torch.tensor(log_probs)).softmax(-1).numpy()
    np.testing.assert_allclose(ours, pet, atol=1e-12)
    np.testing.assert_allclose(ours, openprompt, atol=1e-12)
    np.testing.assert_allclose(ours.sum(-1), 1, atol=1e-12)


def test_a_weight_counts_as_so_many_words_in_the_mean():
    scores = torch.tensor([[-1.0, -2.0, -4.0]])
    twice = torch.tensor([[-1.0, -2.0, -2.0, -4.0]])
    for name in ("mean_log_prob", "log_mean_prob", "log_sum_prob"):
        weighted = Verbalizer({"a": "x", "b": {"y": 2, "z": 1}}, name).label_scores(scores)
        repeated = Verbalizer({"a": "x", "b": ["y", "y2", "z"]}, name).label_scores(twice)
        torch.testing.assert_close(weighted, repeated)


def test_lengths():
    ids = [(5, 6), (7,), (8, 9, 10)]
    lengths = {
        norm: Verbalizer({"a": "not good ", "b": ["很满意", "fine"]}, length_norm=norm).lengths(ids)
        for norm in ("none", "token", "character", "byte")
    }
    assert lengths == {"none": None, "token": [2, 1, 3], "character": [8, 3, 4], "byte": [8, 9, 4]}


def test_a_word_per_token_may_begin_with_another():
    verbalizer = Verbalizer({"a": "good", "b": "good for nothing"}, length_norm="token")
    assert verbalizer.validate_tokens([(5,), (5, 7, 8)], autoregressive=True) is verbalizer


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_gradients_reach_the_words(name):
    scores = torch.tensor([[-1.0, -2.0, -0.5, -3.0]], requires_grad=True)
    Verbalizer(TABLE, name).label_scores(scores).sum().backward()
    assert scores.grad.sum() == pytest.approx(3)


def test_words_with_the_same_tokens_raise():
    verbalizer = Verbalizer({"a": ["Good", "fine"], "b": "good"})
    message = "'good' has the same tokens in this model's vocabulary for label 'b' and, as 'Good', for label 'a'"
    for autoregressive in (False, True):
        with pytest.raises(VerbalizerError, match=message):
            verbalizer.validate_tokens([(5,), (6,), (5,)], autoregressive=autoregressive)


def test_a_word_that_another_label_begins_with_raises_for_autoregressive_models():
    verbalizer = Verbalizer({"a": ["good"], "b": ["bad", "good for nothing"]})
    ids = [(5,), (6,), (5, 7, 8)]
    message = "'good for nothing' of label 'b' begins with the tokens of 'good' of label 'a'"
    with pytest.raises(VerbalizerError, match=message):
        verbalizer.validate_tokens(ids, autoregressive=True)
    assert verbalizer.validate_tokens(ids, autoregressive=False) is verbalizer
    with pytest.raises(VerbalizerError, match="begins with the tokens of"):
        Verbalizer({"a": "good for nothing", "b": "good"}).validate_tokens([(5, 7, 8), (5,)], autoregressive=True)


def test_words_of_one_label_may_begin_alike():
    verbalizer = Verbalizer({"a": ["good", "good fun"], "b": "bad"})
    assert verbalizer.validate_tokens([(5,), (5, 7), (6,)], autoregressive=True) is verbalizer
    shared = Verbalizer({"a": "very good", "b": "very bad"})
    assert shared.validate_tokens([(5, 7), (5, 8)], autoregressive=True) is shared
