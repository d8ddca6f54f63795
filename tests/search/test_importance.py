"""Shares of parameters: exact for a full grid, near the true ones for a random search."""

from itertools import product

import numpy as np
import pytest

from softcloze import Template
from softcloze.search import Candidate
from softcloze.search.factors import factors_of
from softcloze.search.importance import noise_share, parameter_importance
from softcloze.template import with_slots

WORDING = "<text> 总之，很<mask>"


def shares(parameters, scores):
    return {each.name: each.share for each in parameter_importance([*map(Candidate, parameters, scores)])}


def grid(**values):
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]


def test_a_full_grid_is_an_analysis_of_variance():
    """Textbook sums of squares, one cell after the other."""
    sizes = {"a": 2, "b": 3, "c": 4}
    cells = grid(**{name: range(size) for name, size in sizes.items()})
    scores = np.random.default_rng(0).normal(size=len(cells))
    total = sum((score - scores.mean()) ** 2 for score in scores)
    expected = {}
    for name, size in sizes.items():
        squares = 0.0
        for level in range(size):
            own = [score for cell, score in zip(cells, scores, strict=True) if cell[name] == level]
            squares += len(own) * (sum(own) / len(own) - scores.mean()) ** 2
        expected[name] = squares / total
    found = parameter_importance([*map(Candidate, cells, scores)])
    assert {each.name: each.share for each in found} == pytest.approx(expected)
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)
    (levels,) = [each.levels for each in found if each.name == "b"]
    own = [score for cell, score in zip(cells, scores, strict=True) if cell["b"] == 1]
    assert levels[1].value == "1" and levels[1].mean == pytest.approx(np.mean(own))
    assert levels[1].best == max(own) and sorted(levels[1].scores) == sorted(own)


def test_main_effects_that_add_up_leave_nothing():
    cells = grid(template=["sentiment/en", "sentiment/zh"], epochs=[3, 6, 12])
    found = shares(cells, [0.5 + 0.1 * (cell["template"][-2:] == "zh") + 0.01 * cell["epochs"] for cell in cells])
    assert sum(found.values()) == pytest.approx(1)
    assert not any(shares(cells, [0.5] * 6).values())


def test_what_was_not_tried_is_filled_in():
    """Shares of a random search are near those of the function that made its scores; the same seed, the same shares."""
    dice = np.random.default_rng(0)
    tried = [
        {"a": int(dice.integers(3)), "b": int(dice.integers(4)), "rate": 10 ** dice.uniform(-2, 0)} for _ in range(40)
    ]
    scores = [(each["a"] == 0) + 0.3 * np.log10(each["rate"]) for each in tried]
    found = shares(tried, scores)
    assert found == shares(tried, scores)
    assert found["a"] == pytest.approx(2 / 9 / (2 / 9 + 0.03), abs=0.1)
    assert found["rate"] == pytest.approx(0.03 / (2 / 9 + 0.03), abs=0.1)
    assert found["b"] < 0.05


def test_many_numbers_are_ranges():
    (factor,) = factors_of([{"learning_rate": 0.01 * i} for i in range(1, 9)])
    assert factor.levels == ("0.01 to 0.02", "0.03 to 0.04", "0.05 to 0.06", "0.07 to 0.08")
    assert factor.codes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_template_is_its_wording_and_its_slots():
    wordings = (WORDING, "评论：<text>\n很<mask>")
    templates = [with_slots(each, **{place: n}) for each in wordings for place in ("front", "after") for n in (2, 8)]
    score = {"in front": 0.2, "after <text>": 0.0, "2": 0.0, "8": 0.1}
    found = factors_of([{"template": each} for each in templates])
    assert [(each.name, each.levels) for each in found] == [
        ("template: wording", wordings),
        ("template: slot position", ("in front", "after <text>")),
        ("template: slot length", ("2", "8")),
    ]
    scores = [sum(score[each.levels[each.codes[row]]] for each in found[1:]) for row in range(len(templates))]
    assert shares([{"template": str(each)} for each in templates], scores) == pytest.approx(
        {"template: slot position": 0.8, "template: slot length": 0.2, "template: wording": 0}
    )


def test_slots_of_no_length_are_not_compared_with_long_ones():
    """The length of slots does not apply to a template without any, and does not bias the means."""
    templates = [
        Template(WORDING),
        *(with_slots(WORDING, front=n) for n in (2, 8)),
        *(with_slots(WORDING, after=n) for n in (2, 8)),
    ]
    scores = dict(zip(map(str, templates), (0.5, 0.6, 0.8, 0.7, 0.9), strict=True))
    cells = grid(template=templates, epochs=[3, 6])
    found = parameter_importance([Candidate(cell, scores[str(cell["template"])]) for cell in cells])
    means = {each.name: {level.value: round(level.mean, 6) for level in each.levels} for each in found}
    assert means == {
        "template: slot position": {"none": 0.5, "in front": 0.7, "after <text>": 0.8},
        "template: slot length": {"2": 0.65, "8": 0.85},
        "epochs": {"3": 0.7, "6": 0.7},
    }
    assert {each.name: each.share for each in found} == pytest.approx(
        {"template: slot position": 0.012 / 0.02, "template: slot length": 0.008 / 0.02, "epochs": 0}
    )


def test_conditional_parameters_are_compared_where_they_apply():
    """Conditional parameters, as in a study of optuna or a list of grids."""
    tried = [{"head": "words"}] * 2 + [{"head": "warp", "head_learning_rate": rate} for rate in (0.1, 0.3)]
    found = parameter_importance([*map(Candidate, tried, (0.5, 0.5, 0.6, 0.8))])
    means = {each.name: {level.value: round(level.mean, 6) for level in each.levels} for each in found}
    assert means == {"head": {"words": 0.5, "warp": 0.7}, "head_learning_rate": {"0.1": 0.6, "0.3": 0.8}}


def test_what_follows_from_another_parameter_is_named_beside_it():
    words = {"en": "sentiment/en", "en-worked": "sentiment/en", "en-cloze": "sentiment/en-cloze"}
    cells = grid(template=words, epochs=[1, 2])
    tried = [{**each, "verbalizer": words[each["template"]]} for each in cells]
    assert [each.name for each in factors_of(tried)] == ["template (with verbalizer)", "epochs"]
    assert factors_of([{"a": 1}, {"a": 1}]) == []


def test_noise_of_the_folds():
    dice = np.random.default_rng(0)
    fold = dice.normal(size=(1, 5))  # what makes a fold hard for all candidates is no noise between them

    def tried(spread):
        scores = fold + spread * np.arange(200)[:, None] / 200 + 0.1 * dice.normal(size=(200, 5))
        return [Candidate({}, each.mean(), tuple(each)) for each in scores]

    assert noise_share(tried(0.0)) == pytest.approx(1, abs=0.2)
    expected = (0.01 / 5) / (0.01 / 5 + 1 / 12)
    assert noise_share(tried(1.0)) == pytest.approx(expected, rel=0.2)
    assert noise_share([Candidate({}, 0.5)] * 3) is None and noise_share(tried(0.0)[:1]) is None
