import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

from softcloze.calibration import expected_calibration_error
from softcloze.errors import ParameterError
from softcloze.experiments import METRICS, Spread
from softcloze.experiments.statistics import Resampling, holm, measure, paired, validate_metric

ROWS, CLASSES = 120, 3


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(0).integers(0, CLASSES, ROWS)


def probabilities(truth, seed, skill=1.0):
    """Probabilities of a classifier that is right more often than not."""
    scores = np.random.default_rng(seed).normal(size=(len(truth), CLASSES)) + skill * np.eye(CLASSES)[truth]
    odds = np.exp(scores)
    return (odds / odds.sum(1, keepdims=True)).astype(np.float32)


REFERENCES = {
    "accuracy": lambda truth, found: accuracy_score(truth, found.argmax(1)),
    "balanced_accuracy": lambda truth, found: balanced_accuracy_score(truth, found.argmax(1)),
    "macro_f1": lambda truth, found: f1_score(truth, found.argmax(1), average="macro"),
    "log_loss": lambda truth, found: log_loss(truth, found, labels=range(CLASSES)),
    "calibration_error": lambda truth, found: expected_calibration_error(truth, found, labels=range(CLASSES)),
}


def test_metrics(truth):
    found = probabilities(truth, 1)
    assert measure(truth, found) == pytest.approx({name: of(truth, found) for name, of in REFERENCES.items()})


@pytest.mark.parametrize("metric", METRICS)
def test_interval_and_p_are_those_of_plain_loops(truth, metric):
    """Matrix products give the same as scikit-learn on one resample at a time."""
    one, other = probabilities(truth, 1), probabilities(truth, 2, skill=1.3)
    resampling = Resampling(ROWS, resamples=40)
    found = paired([one], [other], truth, metric, resampling)

    def value(rows, scores):
        return REFERENCES[metric](truth[rows], scores[rows])

    every = np.arange(ROWS)
    assert found.mean == pytest.approx(value(every, one) - value(every, other), abs=1e-6)
    drawn = [np.repeat(every, counts.astype(int)) for counts in resampling.counts]
    again = [value(rows, one) - value(rows, other) for rows in drawn]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])), abs=1e-5)
    null = []
    for swaps in resampling.swaps.astype(bool)[:, :, None]:
        left, right = np.where(swaps, other, one), np.where(swaps, one, other)
        null.append(value(every, left) - value(every, right))
    extreme = np.count_nonzero(np.abs(null) >= abs(found.mean) - 1e-6)
    assert found.p == (1 + extreme) / 41


def test_a_single_run_each_is_what_scipy_finds(truth):
    one, other = probabilities(truth, 1, skill=1.0), probabilities(truth, 2, skill=1.2)
    right = [(found.argmax(1) == truth).astype(float) for found in (one, other)]
    found = paired([one], [other], truth, "accuracy", Resampling(ROWS, 10_000))
    dice = np.random.default_rng(1)
    test = stats.permutation_test(
        right, lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=10_000, random_state=dice
    )
    assert found.p == pytest.approx(test.pvalue, abs=0.02) and 0.001 < test.pvalue < 0.3
    again = stats.bootstrap((right[0] - right[1],), np.mean, method="percentile", random_state=dice)
    assert (found.low, found.high) == pytest.approx(tuple(again.confidence_interval), abs=0.012)


def test_where_draws_are_all_that_varies_it_is_the_t_test():
    """If all examples of a run are alike, only the draws vary."""
    rng = np.random.default_rng(0)
    rows = 500
    truth = np.zeros(rows, int)

    def runs(levels):
        return [np.tile(np.float32([level, 1 - level]), (rows, 1)) for level in levels]

    levels = rng.uniform(0.5, 0.9, size=5), rng.uniform(0.5, 0.8, size=5)
    found = paired(runs(levels[0]), runs(levels[1]), truth, "log_loss", Resampling(rows, 5000))
    test = stats.ttest_rel(*(-np.log(np.float32(own)) for own in levels))
    assert found.p == pytest.approx(test.pvalue, abs=0.02)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()), rel=0.1)


def test_rows_of_several_runs_are_the_same_rows(truth):
    """Three identical runs carry no more information than one."""
    one, other = probabilities(truth, 1), probabilities(truth, 2, skill=1.3)
    resampling = Resampling(ROWS)
    single = paired([one], [other], truth, "accuracy", resampling)
    assert paired([one] * 3, [other] * 3, truth, "accuracy", resampling) == pytest.approx(single)
    assert paired([one] * 3, [other], truth, "accuracy", resampling) == pytest.approx(single)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_the_same_method_twice_is_called_different_in_five_percent(spread):
    """200 comparisons of a method with itself, with examples of different difficulty and three draws."""
    rows, runs = 200, 3
    truth, resampling = np.zeros(rows, int), Resampling(rows, 500)
    called = covered = 0
    for case in range(200):
        rng = np.random.default_rng(case)
        difficulty = rng.normal(1.5, 2, size=rows)

        def method(rng=rng, difficulty=difficulty):
            chances = [1 / (1 + np.exp(-difficulty - rng.normal() * spread)) for _ in range(runs)]
            return [np.where((rng.random(rows) < own)[:, None], [0.8, 0.2], [0.2, 0.8]) for own in chances]

        found = paired(method(), method(), truth, "accuracy", resampling)
        called += found.p < 0.05
        covered += found.low <= 0 <= found.high
    assert 2 <= called <= 18  # 10 expected; all but 1 in 100 binomial draws are within 3 and 18
    assert covered >= 180


def test_a_real_difference_is_found(truth):
    good, bad = ([probabilities(truth, seed + skill, skill) for seed in range(0, 30, 10)] for skill in (3, 1))
    found = paired(good, bad, truth, "accuracy", Resampling(ROWS))
    assert found.p < 0.01 and 0 < found.low < found.mean < found.high
    back = paired(bad, good, truth, "accuracy", Resampling(ROWS))
    assert back.mean == -found.mean and back.p == pytest.approx(found.p, abs=0.01)
    same = paired(good, good, truth, "accuracy", Resampling(ROWS))
    assert same == (0, 0, 0, 1)


def test_holm():
    # Holm's steps by hand: 4 * 0.001, 3 * 0.01, max(0.03, 2 * 0.01), max(0.03, 0.8)
    assert holm([0.01, 0.001, 0.8, 0.01]) == pytest.approx([0.03, 0.004, 0.8, 0.03])
    assert holm([]) == [] and holm([0.7, 0.9]) == [1.0, 1.0]


def test_spread_and_names():
    assert Spread.of([0.5, 0.6, 0.8]).sd == pytest.approx(np.std([0.5, 0.6, 0.8], ddof=1))
    assert Spread.of([0.5]).sd is None
    with pytest.raises(ParameterError, match=r"'acuracy' is unknown; expected accuracy, .*did you mean 'accuracy'"):
        validate_metric("acuracy")
