"""What a comparison found: every run, and what can be said of the methods."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from softcloze.errors import ParameterError
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.results import Difference, MethodCard, Run, Summary, columns_of
from softcloze.experiments.statistics import METRICS, Metric, Resampling, Spread, check_metric, holm, measure, paired
from softcloze.formatting import did_you_mean

if TYPE_CHECKING:
    import pandas
    from rich.table import Table


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
            ParameterError: an unknown metric, method, or number of shots.

        Source:
            See `softcloze.experiments.statistics`: `paired` and `holm`.
        """
        check_metric(metric)
        names = [card.name for card in self.methods]
        if baseline is not None and baseline not in names:
            raise ParameterError(f"there is no method {baseline!r}; there are {names}{did_you_mean(baseline, names)}")
        sizes = sorted({run.shots for run in self.runs}, key=lambda size: (isinstance(size, str), size))
        if shots is not None and shots not in sizes:
            raise ParameterError(f"nothing was measured with shots={shots!r}; there are {sizes}")
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
        from softcloze.report.page import write_report

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
