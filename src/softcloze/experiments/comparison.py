"""The result of comparing methods: all runs, their summaries and differences."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from softcloze.calibration import dominant_label
from softcloze.display import Block, Displayable
from softcloze.errors import ParameterError
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.results import Difference, MethodCard, Run, Summary, class_indices
from softcloze.experiments.statistics import METRICS, Metric, Resampling, Spread, holm, measure, paired, validate_metric
from softcloze.formatting import did_you_mean
from softcloze.verbalizer import Label

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Comparison(Displayable):
    """Methods measured on the same examples; `print`, `rich.print` and notebooks show its table.

    Attributes:
        task: name of the data.
        model: name of the backbone, or None.
        parameters: number of parameters of the backbone, or None.
        classes: in the order of the columns of probabilities.
        texts: of the held-out examples.
        labels: of the held-out examples.
        methods: descriptions of the methods.
        runs: in the order of methods, shots and seeds.
        protocol: the selection of training and held-out examples.
        environment: python, torch, transformers, softcloze, processor, cores, date.
        command: the command that repeats the comparison, or None.
    """

    task: str
    model: str | None
    parameters: int | None
    classes: tuple[Label, ...]
    texts: tuple[str, ...]
    labels: tuple[Label, ...]
    methods: tuple[MethodCard, ...]
    runs: tuple[Run, ...]
    protocol: Protocol
    environment: dict[str, str]
    command: str | None

    def of(self, method: str, shots: Shots) -> tuple[Run, ...]:
        """The finished runs of a method with this number of shots, sorted by seed."""
        runs = (run for run in self.runs if (run.method, run.shots) == (method, shots) and run.error is None)
        return tuple(sorted(runs, key=lambda run: run.seed))

    @property
    def truth(self) -> np.ndarray:
        """Class index of each held-out example, shape (rows,)."""
        return class_indices(self.labels, self.classes)

    def summary(self) -> tuple[Summary, ...]:
        """A summary for each method and number of shots with a finished run, in the order of `runs`."""
        groups = dict.fromkeys((run.method, run.shots) for run in self.runs)
        return tuple(self._summarise(*group) for group in groups if self.of(*group))

    def differences(
        self, shots: Shots | None = None, metric: Metric = "accuracy", baseline: str | None = None
    ) -> tuple[Difference, ...]:
        """The differences between methods in pairs, on the same examples and draws.

        A method that needs no training is compared with the others at every number of shots.

        Args:
            shots: compare only runs with this number; None for all. Two methods without training are compared at 0.
            metric: "accuracy", "balanced_accuracy", "macro_f1", "log_loss" or "calibration_error".
            baseline: the method to compare all others with; None for all pairs.

        Returns:
            Differences; their p-values are corrected for the number of differences returned.

        Raises:
            ParameterError: an unknown metric, method, or number of shots.

        Source:
            See `softcloze.experiments.statistics`: `paired` and `holm`.
        """
        validate_metric(metric)
        names = [card.name for card in self.methods]
        if baseline is not None and baseline not in names:
            hint = did_you_mean(str(baseline), names)
            raise ParameterError(f"unknown method {baseline!r}; expected one of {names}{hint}")
        sizes = sorted({run.shots for run in self.runs}, key=lambda size: (isinstance(size, str), size))
        if shots is not None and shots not in sizes:
            raise ParameterError(f"no run has shots={shots!r}; expected one of {sizes}")
        truth, resampling = self.truth, Resampling(len(self.labels))
        pairs = [
            (method, other, size, paired(*self._side_by_side(method, other, size), truth, metric, resampling))
            for size in (sizes if shots is None else [shots])
            for method, other in self._pairs(size, names, baseline)
        ]
        corrected = holm([result.p for *_, result in pairs])
        return tuple(
            Difference(method, other, *result, p_corrected=p, shots=size)
            for (method, other, size, result), p in zip(pairs, corrected, strict=True)
        )

    def dominant_label(self, method: str, shots: Shots) -> tuple[Label, float] | None:
        """The label that a method gives to most held-out examples, far more than have it, and their share.

        None unless the share, over all draws, is as large as for `softcloze.calibration.dominant_label`.
        """
        runs = [run.probabilities.argmax(1) for run in self.of(method, shots) if run.probabilities is not None]
        dominant = dominant_label(np.concatenate(runs), np.tile(self.truth, len(runs)))
        return (self.classes[dominant[0]], dominant[1]) if dominant is not None else None

    def content(self) -> Sequence[Block]:
        """A line for each method and number of shots: its metrics and costs."""
        return self.table().content()

    def table(self) -> Displayable:
        """The summary as a table for the terminal and for notebooks."""
        from softcloze.experiments.table import ComparisonTable

        return ComparisonTable(self)

    def to_pandas(self) -> "pandas.DataFrame":
        """A row for each run: method, shots, seed, metrics and costs; metrics of failed runs are nan."""
        import pandas

        names = [field.name for field in fields(Run) if field.name not in ("probabilities", "top_words")]
        return pandas.DataFrame({name: getattr(run, name) for name in names} | self._metrics(run) for run in self.runs)

    def report(self, path: str | Path) -> Path:
        """Write the comparison as one HTML page; see `softcloze.report.write_report`."""
        from softcloze.report.page import write_report

        return write_report(self, path)

    def _metrics(self, run: Run) -> dict[Metric, float]:
        return {} if run.probabilities is None else measure(self.truth, run.probabilities)

    def _summarise(self, method: str, shots: Shots) -> Summary:
        runs = self.of(method, shots)
        metrics = [self._metrics(run) for run in runs]
        sizes = [run.artifact_bytes for run in runs if run.artifact_bytes is not None]
        return Summary(
            method=method,
            shots=shots,
            n=len(runs),
            errors=sum((run.method, run.shots) == (method, shots) for run in self.runs) - len(runs),
            **{metric: Spread.of([values[metric] for values in metrics]) for metric in METRICS},
            trainable=runs[0].trainable,
            fit_seconds=fmean(run.fit_seconds for run in runs),
            predict_seconds=fmean(run.predict_seconds for run in runs),
            peak_memory=max(run.peak_memory for run in runs),
            artifact_bytes=round(fmean(sizes)) if sizes else None,
        )

    def _pairs(self, shots: Shots, names: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
        """Methods to compare at this number of shots: at least one of each pair has runs with it."""
        finished = [name for name in names if self.of(name, shots) or self.of(name, 0)]
        pairs = (
            combinations(finished, 2)
            if baseline is None
            else ((name, baseline) for name in finished if name != baseline)
        )
        return [
            (method, other)
            for method, other in pairs
            if other in finished
            and (self.of(method, shots) or self.of(other, shots))
            and all(self._side_by_side(method, other, shots))
        ]

    def _side_by_side(self, method: str, other: str, shots: Shots) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Probabilities of both methods for the seeds that both have; a run without shots counts for all seeds."""
        first, second = (self.of(name, shots) or self.of(name, 0) for name in (method, other))
        shared = set.intersection(*({run.seed for run in runs} for runs in (first, second) if runs[0].shots == shots))

        def probabilities(runs: Sequence[Run]) -> list[np.ndarray]:
            chosen = (run for run in runs if run.shots != shots or run.seed in shared)
            return [run.probabilities for run in chosen if run.probabilities is not None]

        return probabilities(first), probabilities(second)
