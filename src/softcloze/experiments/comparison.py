"""What a comparison found: every run, and what can be said of the methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from softcloze.experiments.errors import ExperimentError
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.statistics import METRICS, Metric, Resampling, Spread, check_metric, holm, measure, paired
from softcloze.explanation import TopWord
from softcloze.template import did_you_mean

if TYPE_CHECKING:
    import pandas
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Run:
    """One cell that was measured: a method, with one draw of training rows.

    Attributes:
        method: its name.
        shots: rows per class that it was given, a share, or "all"; 0 is none.
        seed: of the draw and of the method.
        probabilities: of the classes for the held-out rows, shape (rows, classes), float32; None where `error`.
        trainable: numbers that were trained; 0 also where a foreign estimator does not tell.
        fit_seconds: wall time of training.
        predict_seconds: wall time of scoring all held-out rows.
        peak_memory: bytes of the whole process at its peak; see `softcloze.experiments.memory.PeakMemory`.
        artifact_bytes: what has to be kept of the trained method, next to the model; None where it does not tell.
        error: what went wrong, if something did.
        top_words: the likeliest words at the mask, for the held-out rows that it is surest of and wrong about; by row.
    """

    method: str
    shots: Shots
    seed: int
    probabilities: np.ndarray | None
    trainable: int
    fit_seconds: float
    predict_seconds: float
    peak_memory: int
    artifact_bytes: int | None
    error: str | None = None
    top_words: Mapping[int, tuple[TopWord, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What a method is, for people.

    Attributes:
        name: unique in a comparison.
        description: one line.
        template: the template as it is written, where it is a prompt.
        wording_of: what it is one of several wordings of; see `Method`.
    """

    name: str
    description: str
    template: str | None
    wording_of: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The runs of a method with the same number of shots, taken together.

    Attributes:
        method: its name.
        shots: rows per class that it was given, a share, or "all".
        n: runs that came to an end.
        errors: runs that failed.
        accuracy: share of held-out rows that are right.
        balanced_accuracy: mean over classes of the share of their rows that are right.
        macro_f1: mean over classes of the harmonic mean of precision and recall.
        log_loss: mean of -log of the right class's probability, in nats.
        calibration_error: see `softcloze.calibration.expected_calibration_error`.
        trainable: numbers that were trained.
        fit_seconds: mean wall time of training.
        predict_seconds: mean wall time of scoring the held-out rows.
        peak_memory: largest of the runs, bytes.
        artifact_bytes: mean; None where a method does not tell.
    """

    method: str
    shots: Shots
    n: int
    errors: int
    accuracy: Spread
    balanced_accuracy: Spread
    macro_f1: Spread
    log_loss: Spread
    calibration_error: Spread
    trainable: int
    fit_seconds: float
    predict_seconds: float
    peak_memory: int
    artifact_bytes: int | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two methods are apart, and how sure that is.

    Attributes:
        method: the first.
        other: the second.
        shots: what the one or both of them were given that learn.
        mean: metric of the first less that of the second, mean over the draws.
        low: lower end of the 95 % bootstrap interval.
        high: its upper end.
        p: how often chance alone makes a difference as large as this one; see `softcloze.experiments.statistics`.
        p_corrected: the same after Holm's correction for all differences that were asked for together.
    """

    method: str
    other: str
    shots: Shots
    mean: float
    low: float
    high: float
    p: float
    p_corrected: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods on the same rows.

    Attributes:
        task: name of the data.
        model: name of the backbone, where there is one.
        parameters: the backbone's.
        classes: in the order of the columns of probabilities.
        texts: held-out rows.
        labels: of these.
        methods: what was compared.
        runs: every cell, in the order of methods, shots and seeds.
        protocol: which rows.
        environment: python, torch, transformers, softcloze, processor, cores, date.
        command: repeats it, where there is one.
    """

    task: str
    model: str | None
    parameters: int | None
    classes: tuple[str, ...]
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    methods: tuple[MethodCard, ...]
    runs: tuple[Run, ...]
    protocol: Protocol
    environment: dict[str, str]
    command: str | None

    def of(self, method: str, shots: Shots) -> tuple[Run, ...]:
        """The runs of a method with so many shots that did not fail, by seed."""
        found = (run for run in self.runs if (run.method, run.shots) == (method, shots) and run.error is None)
        return tuple(sorted(found, key=lambda run: run.seed))

    @property
    def truth(self) -> np.ndarray:
        """Column of the right class of each held-out row, shape (rows,)."""
        return columns_of(self.labels, self.classes)

    def summary(self) -> tuple[Summary, ...]:
        """One for each method and number of shots with a run that did not fail, in the order of `runs`."""
        cells = dict.fromkeys((run.method, run.shots) for run in self.runs)
        return tuple(self._summarise(*cell) for cell in cells if self.of(*cell))

    def differences(
        self, shots: Shots | None = None, metric: Metric = "accuracy", baseline: str | None = None
    ) -> tuple[Difference, ...]:
        """How far the methods are apart, two by two, on the same rows and draws.

        A method that learns nothing is compared with those that do at every number of shots.

        Args:
            shots: only these; None for all. Methods that both learn nothing are compared at 0.
            metric: "accuracy", "balanced_accuracy", "macro_f1", "log_loss" or "calibration_error".
            baseline: a method that all others are compared with; None for all pairs.

        Returns:
            Corrected for their number, all that are returned.

        Raises:
            ExperimentError: an unknown metric, method, or number of shots.

        Source:
            See `softcloze.experiments.statistics`: `paired` and `holm`.
        """
        check_metric(metric)
        names = [card.name for card in self.methods]
        if baseline is not None and baseline not in names:
            raise ExperimentError(f"there is no method {baseline!r}; there are {names}{did_you_mean(baseline, names)}")
        sizes = sorted({run.shots for run in self.runs}, key=lambda size: (isinstance(size, str), size))
        if shots is not None and shots not in sizes:
            raise ExperimentError(f"nothing was measured with shots={shots!r}; there are {sizes}")
        truth, resampling = self.truth, Resampling(len(self.labels))
        pairs = [
            (one, other, size, paired(*self._side_by_side(one, other, size), truth, metric, resampling))
            for size in (sizes if shots is None else [shots])
            for one, other in self._pairs(size, names, baseline)
        ]
        corrected = holm([found.p for *_, found in pairs])
        return tuple(
            Difference(one, other, size, *found, p_corrected=p)
            for (one, other, size, found), p in zip(pairs, corrected, strict=True)
        )

    def table(self) -> "Table":
        """The summary, for the terminal."""
        from softcloze.experiments.table import comparison_table

        return comparison_table(self)

    def to_pandas(self) -> "pandas.DataFrame":
        """A row for each run: method, shots, seed, its metrics and its costs; nan where it failed."""
        import pandas

        costs = [each.name for each in fields(Run) if each.name not in ("probabilities", "top_words")]
        return pandas.DataFrame({name: getattr(run, name) for name in costs} | self._measured(run) for run in self.runs)

    def report(self, path: str | Path) -> Path:
        """Write the comparison as one page of HTML; see `softcloze.report.write_report`."""
        from softcloze.report import write_report

        return write_report(self, path)

    def _measured(self, run: Run) -> dict[Metric, float]:
        return {} if run.probabilities is None else measure(self.truth, run.probabilities)

    def _summarise(self, method: str, shots: Shots) -> Summary:
        runs = self.of(method, shots)
        each = [self._measured(run) for run in runs]
        kept = [run.artifact_bytes for run in runs if run.artifact_bytes is not None]
        return Summary(
            method=method,
            shots=shots,
            n=len(runs),
            errors=sum((run.method, run.shots) == (method, shots) for run in self.runs) - len(runs),
            **{metric: Spread.of([values[metric] for values in each]) for metric in METRICS},
            trainable=runs[0].trainable,
            fit_seconds=fmean(run.fit_seconds for run in runs),
            predict_seconds=fmean(run.predict_seconds for run in runs),
            peak_memory=max(run.peak_memory for run in runs),
            artifact_bytes=round(fmean(kept)) if kept else None,
        )

    def _pairs(self, shots: Shots, names: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
        """Methods to compare at this number of shots: one of them at least was given so many."""
        there = [name for name in names if self.of(name, shots) or self.of(name, 0)]
        pairs = combinations(there, 2) if baseline is None else ((name, baseline) for name in there if name != baseline)
        return [
            (one, other)
            for one, other in pairs
            if other in there
            and (self.of(one, shots) or self.of(other, shots))
            and all(self._side_by_side(one, other, shots))
        ]

    def _side_by_side(self, one: str, other: str, shots: Shots) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Probabilities of both, by seeds that both have; a method without shots has a single run for all seeds."""
        first, second = (self.of(name, shots) or self.of(name, 0) for name in (one, other))
        shared = set.intersection(*({run.seed for run in own} for own in (first, second) if own[0].shots == shots))

        def kept(runs: Sequence[Run]) -> list[np.ndarray]:
            chosen = (run for run in runs if run.shots != shots or run.seed in shared)
            return [run.probabilities for run in chosen if run.probabilities is not None]

        return kept(first), kept(second)


def columns_of(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The number of each label among the classes, shape (labels,).

    >>> columns_of(["好", "差", "好"], ("差", "好"))
    array([1, 0, 1])
    """
    column = {name: at for at, name in enumerate(classes)}
    return np.array([column[label] for label in labels])
