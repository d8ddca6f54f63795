"""What the sentences say: who is best, by how much, and whether that may be luck."""

from dataclasses import replace

import pytest
from support.html_page import Page

from softcloze.experiments import Comparison, Difference
from softcloze.report.verdict import Findings, verdict


@pytest.fixture
def told(make, monkeypatch):
    """What is said of three methods whose accuracies are given, where `level` cannot be told from the best."""

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
                Difference(one, other, 16, gap := mean[one] - mean[other], gap - 0.03, gap + 0.01, 0.01, p)
                for one, other in pairs
                for p in [0.4 if {one, other} & set(level) else 0.0001]
            )

        monkeypatch.setattr(Comparison, "summary", lambda self: summaries)
        monkeypatch.setattr(Comparison, "differences", differences)
        findings = Findings(found)
        return Page(str(verdict(findings.standings[-1], len(found.texts)))).text

    return tell


def test_more_than_luck(told):
    assert told() == (
        "With 16 rows per class, soft prompt does best: it is right on 90.0% of 20 held-out rows. "
        "It is 10.0 points ahead of hard prompt, the next (95% interval +9.0 to +13.0; corrected p < 0.001), "
        "more than luck. All others are clearly behind."
    )


def test_may_be_luck_and_what_is_cheaper(told):
    assert told(level=["hard prompt"]).endswith(
        "(95% interval +9.0 to +13.0; corrected p = 0.4), which may be luck alone. "
        "Of the two, hard prompt takes the least training: 0 s against 41.0 s."
    )
    assert told(level=["hard prompt", "TF-IDF"]).endswith(
        "which may be luck alone. Nor is its lead over TF-IDF clear. "
        "Of the methods that may be as good, hard prompt takes the least training: 0 s against 41.0 s."
    )


def test_the_lead_is_seen_from_the_best_whatever_the_order_of_methods(told):
    said = told(mean={"soft prompt": 0.6, "hard prompt": 0.7, "TF-IDF": 0.75})
    assert "TF-IDF does best" in said
    assert "5.0 points ahead of hard prompt, the next (95% interval +4.0 to +8.0;" in said


def test_a_method_that_ends_level_with_the_best_in_training_is_not_called_cheaper(told):
    said = told(level=["hard prompt"], seconds={"soft prompt": 0.0, "hard prompt": 0.0, "TF-IDF": 0.0})
    assert "least training" not in said


def test_alone(make):
    found = make(rows=20, methods=make().methods[:1])
    (standing,) = Findings(found).standings
    accuracy = f"{100 * found.summary()[0].accuracy.mean:.1f}%"
    assert Page(str(verdict(standing, 20))).text == (
        f"Without training rows, hard prompt stands alone: it is right on {accuracy} of 20 held-out rows."
    )


def test_methods_that_learn_nothing_compete_everywhere(make):
    findings = Findings(make(shots=(4, 16), rows=40))
    assert findings.shots == (0, 4, 16)
    assert [len(standing.ranked) for standing in findings.standings] == [1, 3, 3]
    for standing in findings.standings:
        means = [each.accuracy.mean for each in standing.ranked]
        assert means == sorted(means, reverse=True)
        assert len(standing.differences) == len(means) * (len(means) - 1) / 2
        assert all(each.mean >= 0 for each in standing.differences)
        assert all(each.low <= each.mean <= each.high for each in standing.differences)


def test_differences_are_those_of_the_comparison(make):
    found = make(shots=(16,), rows=40)
    given = {frozenset((each.method, each.other)): each for each in found.differences()}
    shown = Findings(found).standings[-1].differences
    assert len(shown) == len(given)
    for each in shown:
        same = given[frozenset((each.method, each.other))]
        sign = 1 if same.method == each.method else -1
        assert each.mean == sign * same.mean
        assert {each.low, each.high} == {sign * same.low, sign * same.high}
        assert each.p_corrected == same.p_corrected
