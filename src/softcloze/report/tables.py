"""The tables of a report: results, confusion matrices and the most confident errors."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from softcloze.analysis import TopWord
from softcloze.experiments import Comparison, Run, Shots, Spread, Summary
from softcloze.experiments.confident_errors import most_confident_errors
from softcloze.formatting import ABSENT, mean_sd, quantity, size, visible
from softcloze.report.numbers import count
from softcloze.report.verdict import Ranking, ReportData
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A quantity in the table of results."""

    title: tuple[str, str]  # two lines
    text: Callable[[Summary], str]
    rank: Callable[[Summary], float] | None = None  # smallest for the best method; None if none is marked as best

    def is_best(self, summary: Summary, group: Sequence[Summary]) -> bool:
        """True if no method of the group has a better value as formatted."""
        if self.rank is None or len(group) < 2:
            return False
        best = min(group, key=self.rank)
        return self.text(summary).split()[0] == self.text(best).split()[0]


def result_columns(data: ReportData) -> list[ResultColumn]:
    """The columns of the table; balanced accuracy only if it differs from accuracy."""
    total = len(data.comparison.texts)
    quality = [
        _share(("accuracy", "%"), lambda summary: summary.accuracy),
        _share(("balanced", "accuracy, %"), lambda summary: summary.balanced_accuracy),
        _share(("macro F1", "%"), lambda summary: summary.macro_f1),
        _loss(("log loss", "nats"), lambda summary: summary.log_loss),
        _loss(("calibration", "error"), lambda summary: summary.calibration_error),
    ]
    if len(set(Counter(data.comparison.labels).values())) == 1:
        del quality[1]
    return [
        *quality,
        ResultColumn(("trainable", "parameters"), lambda summary: count(summary.trainable)),
        ResultColumn(("training", "s"), lambda summary: quantity(summary.fit_seconds)),
        ResultColumn(("scoring", "examples/s"), lambda summary: _speed(total, summary)),
        ResultColumn(("peak", "memory"), lambda summary: size(summary.peak_memory)),
        ResultColumn(("artifact", "size"), lambda summary: size(summary.artifact_bytes)),
    ]


def _share(title: tuple[str, str], of: Callable[[Summary], Spread]) -> ResultColumn:
    """A column in percent, where higher is better."""
    return ResultColumn(
        title,
        lambda summary: mean_sd(of(summary).mean, of(summary).sd, scale=100, digits=1),
        lambda summary: -of(summary).mean,
    )


def _loss(title: tuple[str, str], of: Callable[[Summary], Spread]) -> ResultColumn:
    """A column where lower is better."""
    return ResultColumn(
        title, lambda summary: mean_sd(of(summary).mean, of(summary).sd), lambda summary: of(summary).mean
    )


def _speed(count: int, summary: Summary) -> str:
    return quantity(count / summary.predict_seconds) if summary.predict_seconds else ABSENT


WORST = 10
EXCERPT = 600  # characters of a text that are shown


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix of a method, summed over its runs.

    `rows` has each true label with the counts of predicted labels, both in the order of the classes.
    """

    method: str
    shots: Shots
    runs: int
    rows: tuple[tuple[Label, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class ConfidentError:
    """A held-out example with a wrong prediction, and the most probable words at its mask in the first such run."""

    text: str
    label: Label
    label_probability: float
    predicted: Label
    predicted_probability: float
    top_words: tuple[TopWord, ...]


@dataclass(frozen=True, slots=True)
class ConfidentErrors:
    """The most confident errors of one method by the mean over its runs, the most confident first."""

    method: str
    shots: Shots
    runs: int
    worst: tuple[ConfidentError, ...]


def confusions(data: ReportData) -> list[Confusion]:
    """The confusion matrix of each method at its largest number of training examples."""
    comparison, matrices = data.comparison, []
    for card in comparison.methods:
        if not (summaries := data.of(card.name)):
            continue
        runs = comparison.of(card.name, summaries[-1].shots)
        predicted = np.concatenate([_probabilities(run).argmax(1) for run in runs])
        truth = np.tile(comparison.truth, len(runs))
        counts = confusion_matrix(truth, predicted, labels=range(len(comparison.classes)))
        rows = tuple(zip(comparison.classes, map(tuple, counts.tolist()), strict=True))
        matrices.append(Confusion(card.name, summaries[-1].shots, len(runs), rows))
    return matrices


def confident_errors(comparison: Comparison, ranking: Ranking) -> ConfidentErrors:
    """The most confident errors of the best method of a ranking."""
    best = ranking.best
    runs = comparison.of(best.method, best.shots)
    mean = np.stack([_probabilities(run) for run in runs]).mean(0, dtype=np.float64)
    truth, predicted = comparison.truth, mean.argmax(1)
    worst = (
        ConfidentError(
            comparison.texts[row],
            comparison.labels[row],
            float(mean[row, truth[row]]),
            comparison.classes[predicted[row]],
            float(mean[row].max()),
            next((run.top_words[row] for run in runs if row in run.top_words), ()),
        )
        for row in most_confident_errors(mean, truth, WORST)
    )
    return ConfidentErrors(best.method, best.shots, len(runs), tuple(worst))


def excerpt(text: str) -> str:
    """The start of a text with invisible characters made visible, and the number of characters left out.

    >>> excerpt("好" * 608)[-25:]
    '好好好 … (8 more characters)'
    """
    left_out = len(text) - EXCERPT
    return visible(text[:EXCERPT]) + (f" … ({left_out:,} more characters)" if left_out > 0 else "")


def _probabilities(run: Run) -> np.ndarray:
    if run.probabilities is None:
        raise ValueError(f"the run of {run.method!r} with seed {run.seed} has neither probabilities nor an error")
    return run.probabilities
