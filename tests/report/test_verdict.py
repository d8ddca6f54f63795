"""The sentences of a report: the best method, its lead, and whether that may be chance."""

from dataclasses import replace

import pytest
from support.html_page import Page

from softcloze.experiments import Comparison, Difference
from softcloze.report.verdict import ReportData, verdict


@pytest.fixture
def told(make, monkeypatch):
    """The verdict on three methods with given accuracies; those in `level` are not clearly worse than the best."""

    def tell(level=(), mean=None, seconds=None, **changes):
        found = make(shots=(16,), rows=20, seeds=1, **changes)
        mean = mean or {"soft prompt": 0.9, "hard prompt": 0.8, "TF-IDF": 0.6}
        seconds = seconds or {"soft prompt": 41.0, "hard prompt": 0.0, "TF-IDF": 0.02}
        summaries = tuple(
            replace(each, accuracy=replace(each.accuracy, mean=mean[each.method]), fit_seconds=seconds[each.method])
            for each in found.summary()
        )

        def differences(self, shots=None, metric="accuracy", baseline=None):
            names = [each.method for each in summaries]
            pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
            return tuple(
                Difference(one, other, gap := mean[one] - mean[other], gap - 0.03, gap + 0.01, 0.01, p, 16)
                for one, other in pairs
                for p in [0.4 if {one, other} & set(level) else 0.0001]
            )

        monkeypatch.setattr(Comparison, "summary", lambda self: summaries)
        monkeypatch.setattr(Comparison, "differences", differences)
        data = ReportData(found)
        return Page(str(verdict(data.rankings[-1], len(found.texts)))).text

    return tell


def test_more_than_luck(told):
    assert told() == (
        "With 16 examples per class, soft prompt performs best: its accuracy is 90.0% on 20 held-out examples. "
        "Its lead over hard prompt, the next best, is 10.0 points (95% interval +9.0 to +13.0; corrected p < 0.001), "
        "more than chance explains. All others are clearly behind."
    )


def test_may_be_luck_and_what_is_cheaper(told):
    assert told(level=["hard prompt"]).endswith(
        "(95% interval +9.0 to +13.0; corrected p = 0.4), which may be chance. "
        "Of the two, hard prompt needs the least training time: 0 s instead of 41.0 s."
    )
    assert told(level=["hard prompt", "TF-IDF"]).endswith(
        "which may be chance. Its lead over TF-IDF is not clear either. "
        "Of the methods that may be as good, hard prompt needs the least training time: 0 s instead of 41.0 s."
    )


def test_the_lead_is_seen_from_the_best_whatever_the_order_of_methods(told):
    said = told(mean={"soft prompt": 0.6, "hard prompt": 0.7, "TF-IDF": 0.75})
    assert "TF-IDF performs best" in said
    assert "over hard prompt, the next best, is 5.0 points (95% interval +4.0 to +8.0;" in said


def test_a_method_that_ends_level_with_the_best_in_training_is_not_called_cheaper(told):
    said = told(level=["hard prompt"], seconds={"soft prompt": 0.0, "hard prompt": 0.0, "TF-IDF": 0.0})
    assert "least training time" not in said


def test_alone(make):
    found = make(rows=20, methods=make().methods[:1])
    (ranking,) = ReportData(found).rankings
    accuracy = f"{100 * found.summary()[0].accuracy.mean:.1f}%"
    assert Page(str(verdict(ranking, 20))).text == (
        "Without training examples, hard prompt is the only method: "
        f"its accuracy is {accuracy} on 20 held-out examples."
    )


def test_methods_that_learn_nothing_compete_everywhere(make):
    data = ReportData(make(shots=(4, 16), rows=40))
    assert data.shots == (0, 4, 16)
    assert [len(ranking.ranked) for ranking in data.rankings] == [1, 3, 3]
    for ranking in data.rankings:
        means = [each.accuracy.mean for each in ranking.ranked]
        assert means == sorted(means, reverse=True)
        assert len(ranking.differences) == len(means) * (len(means) - 1) / 2
        assert all(each.mean >= 0 for each in ranking.differences)
        assert all(each.low <= each.mean <= each.high for each in ranking.differences)


def test_differences_are_those_of_the_comparison(make):
    found = make(shots=(16,), rows=40)
    given = {frozenset((each.method, each.other)): each for each in found.differences()}
    shown = ReportData(found).rankings[-1].differences
    assert len(shown) == len(given)
    for each in shown:
        same = given[frozenset((each.method, each.other))]
        sign = 1 if same.method == each.method else -1
        assert each.mean == sign * same.mean
        assert {each.low, each.high} == {sign * same.low, sign * same.high}
        assert each.p_corrected == same.p_corrected
