import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from softcloze.errors import ParameterError
from softcloze.experiments import METRICS, Comparison, MethodCard, Protocol, Run
from softcloze.experiments.table import DifferencesTable

LABELS = ("bad", "good") * 100


def run(method, shots, seed, skill, **changes):
    """A run with accuracy `skill` and confidence 0.75."""
    right = np.random.default_rng(hash((len(method), seed)) % 1000).random(len(LABELS)) < skill
    is_good = np.array([label == "good" for label in LABELS])
    good = np.where(right == is_good, 0.75, 0.25)
    costs = {"trainable": 5760 if shots else 0, "fit_seconds": 30.5 if shots else 0.0, "predict_seconds": 20.0}
    found = np.stack([1 - good, good], 1).astype(np.float32)
    return Run(method, shots, seed, found, **costs, peak_memory=905_000_000, artifact_bytes=4096, **changes)


def failed(method, shots, seed):
    return Run(method, shots, seed, None, 0, 0.0, 0.0, 0, None, "ParameterError: [/] no head")


RUNS = (
    run("hard prompt", 0, 0, 0.6),
    *(run("软提示", shots, seed, 0.6 + shots / 100) for shots in (4, 16) for seed in (0, 1, 2)),
    run("TF-IDF", 4, 0, 0.5),
    failed("TF-IDF", 4, 1),
    run("TF-IDF", 4, 2, 0.5),
    *(failed("TF-IDF", 16, seed) for seed in (0, 1, 2)),
)
COMPARISON = Comparison(
    task="movie-reviews",
    model="starter:smollm2-135m",
    parameters=134_515_008,
    classes=("bad", "good"),
    texts=tuple(f"text {row}" for row in range(len(LABELS))),
    labels=LABELS,
    methods=(
        MethodCard("hard prompt", "words alone", "Review: <text>\nSentiment: <mask>"),
        MethodCard("软提示", "soft prompt", "<soft*10> [bold]<text>[/] 总之，很 <mask>"),
        MethodCard("TF-IDF", "logistic regression", None),
    ),
    runs=RUNS,
    protocol=Protocol(shots=(4, 16), test_rows=200),
    environment={"python": "3.11"},
    command=None,
)


def test_runs_by_seed_without_those_that_failed():
    shuffled = replace(COMPARISON, runs=RUNS[::-1])
    assert [run.seed for run in shuffled.of("软提示", 4)] == [0, 1, 2]
    assert [run.seed for run in shuffled.of("TF-IDF", 4)] == [0, 2]
    assert shuffled.of("TF-IDF", 16) == () == shuffled.of("hard prompt", 4)


def test_summary():
    summaries = COMPARISON.summary()
    assert [(each.method, each.shots, each.n, each.errors) for each in summaries] == [
        ("hard prompt", 0, 1, 0),
        ("软提示", 4, 3, 0),
        ("软提示", 16, 3, 0),
        ("TF-IDF", 4, 2, 1),
    ]
    hard, soft, *_ = summaries
    right = [np.mean((run.probabilities[:, 1] > 0.5) == (np.array(LABELS) == "good")) for run in RUNS[1:4]]
    assert soft.accuracy.values == tuple(right) and soft.accuracy.mean == pytest.approx(np.mean(right))
    assert hard.accuracy.sd is None and soft.accuracy.sd == pytest.approx(np.std(right, ddof=1))
    assert hard.log_loss.mean == pytest.approx(
        -hard.accuracy.mean * np.log(0.75) - (1 - hard.accuracy.mean) * np.log(0.25)
    )
    assert (soft.trainable, soft.fit_seconds, soft.peak_memory, soft.artifact_bytes) == (5760, 30.5, 905_000_000, 4096)


def test_a_method_without_shots_is_compared_at_every_number_of_shots():
    found = {(each.method, each.other, each.shots): each for each in COMPARISON.differences()}
    assert [*found] == [
        ("hard prompt", "软提示", 4),
        ("hard prompt", "TF-IDF", 4),
        ("软提示", "TF-IDF", 4),
        ("hard prompt", "软提示", 16),
    ]
    summaries = {(each.method, each.shots): each.accuracy for each in COMPARISON.summary()}
    assert found["hard prompt", "软提示", 16].mean == pytest.approx(
        summaries["hard prompt", 0].mean - summaries["软提示", 16].mean
    )
    both = [summaries["软提示", 4].values[seed] for seed in (0, 2)]  # what TF-IDF failed on counts for neither
    assert found["软提示", "TF-IDF", 4].mean == pytest.approx(np.mean(both) - summaries["TF-IDF", 4].mean)
    assert all(each.p <= each.p_corrected <= min(1, 4 * each.p) for each in found.values())
    assert all(each.low <= each.mean <= each.high for each in found.values())


@pytest.mark.parametrize("metric", METRICS)
def test_against_a_baseline(metric):
    found = COMPARISON.differences(shots=4, metric=metric, baseline="hard prompt")
    assert [(each.method, each.other) for each in found] == [("软提示", "hard prompt"), ("TF-IDF", "hard prompt")]


def test_two_methods_without_shots_are_compared_once():
    twice = replace(COMPARISON, runs=(RUNS[0], replace(RUNS[0], method="TF-IDF"), *RUNS[1:7]))
    assert [each.shots for each in twice.differences() if {each.method, each.other} == {"hard prompt", "TF-IDF"}] == [0]


def test_mistakes():
    with pytest.raises(ParameterError, match=r"unknown method 'hard promt'; .*did you mean 'hard prompt'"):
        COMPARISON.differences(baseline="hard promt")
    with pytest.raises(ParameterError, match=r"no run has shots=5; expected one of \[0, 4, 16\]"):
        COMPARISON.differences(shots=5)


def test_a_row_for_each_run_in_pandas():
    frame = COMPARISON.to_pandas()
    assert len(frame) == len(RUNS) and {"method", "shots", "seed", "error", *METRICS} <= {*frame.columns}
    assert frame["accuracy"].isna().tolist() == [run.error is not None for run in RUNS]


def printed(part, width):
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(part)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


TABLE = """\

                                                   log loss   trained   scoring
  method                 shots        accuracy   cal. error        in    memory
 ───────────────────────────────────────────────────────────────────────────────
  hard prompt             none           0.515        0.821              20.0 s
  Review:                                             0.235              905 MB
  <text>↵Sentiment:
  <mask>
  软提示                     4   0.653 ± 0.015        0.669     5,760    20.0 s
  <soft*10>                                           0.097    30.5 s    905 MB
  [bold]<text>[/]
  总之，很 <mask>
  软提示                    16   0.768 ± 0.010        0.542     5,760    20.0 s
                                                      0.018    30.5 s    905 MB
  TF-IDF                     4   0.505 ± 0.000        0.831     5,760    20.0 s
  logistic regression                                 0.245    30.5 s    905 MB
  1 failed:
  ParameterError: [/]
  no head
  TF-IDF                    16
  3 failed:
  ParameterError: [/]
  no head

starter:smollm2-135m, 134,515,008 parameters; movie-reviews: 200 held-out
examples; mean ± standard deviation of 3 draws of training examples, shots per
class; time is per run, memory is the peak of the whole process"""


def test_table():
    assert printed(COMPARISON.table(), 80) == printed(COMPARISON, 80) == TABLE


def test_print_and_notebooks_show_the_table():
    assert str(COMPARISON) == str(COMPARISON.table()) and "TF-IDF" in str(COMPARISON)
    assert "<table>" in COMPARISON._repr_html_() and "Comparison(" not in str(COMPARISON)


DIFFERENCES = """\

  method   other         shots   difference       95% interval       p
 ──────────────────────────────────────────────────────────────────────
  软提示   hard prompt       4       +0.138   +0.058 to +0.217   0.001
  TF-IDF   hard prompt       4       -0.010   -0.100 to +0.078   0.868
  软提示   hard prompt      16       +0.253   +0.175 to +0.330   0.001

accuracy of the first method minus that of the second, with its 95%
interval; p: how often chance alone makes as large a difference,
corrected for 3 comparisons (Holm)

with 3 draws of training examples only large differences are clear; --seeds adds
draws"""


def test_table_of_differences():
    found = COMPARISON.differences(baseline="hard prompt")
    assert printed(DifferencesTable(found, "accuracy", 3), 80) == DIFFERENCES
    assert "--seeds" not in printed(DifferencesTable(found, "accuracy", 5), 80)
    clear = tuple(pair for pair in found if pair.p_corrected < 0.05)
    assert "--seeds" not in printed(DifferencesTable(clear, "accuracy", 2), 80)
    assert "with one draw of training examples" in printed(DifferencesTable(found, "accuracy", 1), 100)


def with_shares(*shares):
    """A comparison whose only method gives "bad" to these shares of the held-out examples, one for each draw."""
    right = np.arange(200) / 200
    runs = [
        replace(
            run("one-sided", 16, seed, 0.5), probabilities=np.stack([right < share, right >= share], 1).astype("f4")
        )
        for seed, share in enumerate(shares)
    ]
    return replace(COMPARISON, methods=(MethodCard("one-sided", "a method", None),), runs=tuple(runs))


def test_a_label_that_nearly_all_examples_get_is_named():
    comparison = with_shares(0.9, 1.0)
    assert comparison.dominant_label("one-sided", 16) == ("bad", pytest.approx(0.95))
    assert "gives 'bad' to 95% of the held-out examples" in " ".join(printed(comparison.table(), 200).split())


def test_a_label_that_nearly_all_examples_have_may_be_given_to_them():
    comparison = with_shares(0.95, 0.97)
    assert replace(comparison, labels=("bad",) * 180 + ("good",) * 20).dominant_label("one-sided", 16) is None
    assert with_shares(0.9, 0.6).dominant_label("one-sided", 16) is None
