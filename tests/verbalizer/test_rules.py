"""Rules: what is refused, and how the scores of conjunctions become label scores."""

import math
import pickle

import pytest
import torch

from softcloze.errors import VerbalizerError
from softcloze.verbalizer import RuleVerbalizer, Verbalizer

RULES = {
    "praise": {"quality": "good", "advice": ["recommend", "buy"]},
    "warning": {"quality": "bad", "advice": "avoid"},
    "guilty pleasure": {"advice": "buy", "quality": ["bad", "silly"]},
}
A, B = {"x": "a", "y": "b"}, {"x": "b", "y": "a"}

MISTAKES = [
    ({"a": A}, "a verbalizer maps at least two labels to words, got {'a': {'x': 'a', 'y': 'b'}}"),
    ({"a": A, 1: B}, "labels must all be str or all be int, and a verbalizer has 'a' (str) and 1 (int)"),
    ({"a": A, "b": "good"}, "label 'b' needs a word for each mask, as in {'quality': 'good'}, got 'good'"),
    ({"a": A, "b": {}}, "label 'b' needs a word for each mask, as in {'quality': 'good'}, got {}"),
    (
        {"a": A, "b": {"x": "b"}},
        "label 'b' has words for 'x', but none for 'y', as 'a' has; every label needs a word for every mask",
    ),
    (
        {"a": A, "b": {"x": "b", "z": "a"}},
        "label 'a' has words for 'x', 'y', but none for 'z', as 'b' has; every label needs a word for every mask",
    ),
    (
        {"a": {"2": "a"}, "b": {"2": "b"}},
        "'2' is not a name of a mask; expected an identifier, as in <mask name=quality>",
    ),
    ({"a": {2: "a"}, "b": {2: "b"}}, "2 is not a name of a mask; expected an identifier, as in <mask name=quality>"),
    ({"a": A, "b": {"x": [], "y": "a"}}, "label 'b' has no words for the mask 'x'"),
    ({"a": A, "b": {"x": " ", "y": "a"}}, "label 'b' has ' ' among its words for the mask 'x'; expected text"),
    ({"a": A, "b": {"x": ["b", 3], "y": "a"}}, "label 'b' has 3 among its words for the mask 'x'; expected text"),
    ({"a": A, "b": {"x": None, "y": "a"}}, "label 'b' has None among its words for the mask 'x'; expected text"),
    ({"a": A, "b": {"x": ["b", " b"], "y": "a"}}, "label 'b' has ' b' twice for the mask 'x'"),
    (
        {"a": A, "b": {"x": ["c", "a "], "y": "b"}},
        "label 'b' and, before it, label 'a' have the same words at all masks: x='a ', y='b'; "
        "they must differ at one mask or more",
    ),
]


@pytest.mark.parametrize(("rules", "message"), MISTAKES)
def test_mistakes_are_explained(rules, message):
    with pytest.raises(VerbalizerError) as caught:
        RuleVerbalizer(rules)
    assert str(caught.value) == message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_labels_masks_and_words_are_sorted():
    rules = RuleVerbalizer(RULES)
    assert rules.labels == ("guilty pleasure", "praise", "warning")
    assert rules.masks == ("advice", "quality")
    assert [tuple(conjunction.values()) for conjunction in rules.conjunctions] == [
        ("buy", "bad"),
        ("buy", "silly"),
        ("recommend", "good"),
        ("buy", "good"),
        ("avoid", "bad"),
    ]
    assert rules.first_words[1] == {"advice": "recommend", "quality": "good"}
    assert rules.options == ("guilty pleasure", "praise", "warning")
    assert RuleVerbalizer({10: A, 9: B}).options == ("9", "10")


def test_equality_copies_and_cards():
    rules = RuleVerbalizer(RULES)
    again = RuleVerbalizer({label: dict(reversed(rule.items())) for label, rule in reversed(RULES.items())})
    assert rules == again and hash(rules) == hash(again)
    assert rules != RuleVerbalizer({"a": A, "b": B})
    assert rules != RULES and rules != Verbalizer({"a": "a", "b": "b"})
    assert pickle.loads(pickle.dumps(rules)) == rules
    assert RuleVerbalizer.from_dict(rules.to_dict()) == RuleVerbalizer(rules.label_words()) == rules
    assert eval(repr(rules), {"RuleVerbalizer": RuleVerbalizer}) == rules  # noqa: S307
    numbers = RuleVerbalizer({1: A, 0: B})
    assert RuleVerbalizer.from_dict(numbers.to_dict()).labels == (0, 1)


def test_label_scores():
    scores = torch.tensor([[0.1, 0.3, 0.2, 0.1, 0.3], [0.2, 0.2, 0.4, 0.2, 0.0]]).log()
    found = RuleVerbalizer(RULES).label_scores(scores)
    expected = [[0.2, 0.15, 0.3], [0.2, 0.3, 0.0]]
    torch.testing.assert_close(found, torch.tensor(expected).log())
    assert RuleVerbalizer(RULES).label_scores(scores[:0]).shape == (0, 3)


def test_one_mask_is_as_a_verbalizer():
    words = {"good": ["great", "fine"], "bad": ["awful"], "mixed": "so-so"}
    scores = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    found = RuleVerbalizer({label: {"x": own} for label, own in words.items()}).label_scores(scores)
    torch.testing.assert_close(found, Verbalizer(words).label_scores(scores))
    assert math.isfinite(float(found.sum()))


MASKS = [
    (["quality", "advice"], None),
    (
        [None],
        "the template's mask has no name, and the rules have words for 'advice', 'quality': name it, as in "
        "<mask name=advice>",
    ),
    (
        ["quality", "advise"],
        "the rules have words for a mask 'advice', which the template does not have: it has 'quality', 'advise'; "
        "did you mean 'advise'?",
    ),
    (
        ["quality", "advice", "part"],
        "no rule has a word for the template's mask 'part': they have words for 'advice', 'quality'",
    ),
]


@pytest.mark.parametrize(("names", "message"), MASKS)
def test_masks_of_a_template(names, message):
    if message is None:
        assert RuleVerbalizer(RULES).validate_masks(names) == tuple(names)
        return
    with pytest.raises(VerbalizerError) as caught:
        RuleVerbalizer(RULES).validate_masks(names)
    assert str(caught.value) == message


def test_tokens():
    rules = RuleVerbalizer({"a": A, "b": B})
    rules.validate_tokens([((5,), (6,)), ((5,), (7,))], autoregressive=True)
    with pytest.raises(VerbalizerError) as caught:
        rules.validate_tokens([((5,), (6,)), ((5,), (6,))], autoregressive=False)
    assert str(caught.value) == (
        "label 'b' and, before it, label 'a' have words of the same tokens in this model's vocabulary at all masks: "
        "x='b', y='a'; they must differ at one mask or more"
    )
    begun = [((5,), (6,)), ((5,), (6, 7))]
    rules.validate_tokens(begun, autoregressive=False)
    rules.validate_tokens([((5,), (6,)), ((4,), (6, 7))], autoregressive=True)
    rules.validate_tokens([((5, 6), (7,)), ((5,), (6, 7))], autoregressive=True)  # the same tokens, but at other masks
    with pytest.raises(VerbalizerError, match=r"of label 'b', 'b', 'a', begin with the tokens of those of label 'a'"):
        rules.validate_tokens(begun, autoregressive=True)
