"""Comparison of generators on the same rows: differences with intervals, and texts side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, clone

from softcloze.data import Example, as_examples
from softcloze.display import Block, Cell, Column, Displayable, Styled, Table
from softcloze.errors import DataError, ParameterError
from softcloze.experiments.generation import (
    DEFAULT_METRICS,
    GenerationEvaluation,
    GenerationMetric,
    as_references,
    evaluate_generation,
    show_value,
    validate_measurable,
)
from softcloze.experiments.kept_texts import KeptTexts, TrainingPairs
from softcloze.experiments.protocol import Protocol
from softcloze.experiments.statistics import PairedDifference, Resampling, Spread, holm, paired_sums
from softcloze.files import expand_user, validate_writable
from softcloze.formatting import counted, did_you_mean
from softcloze.parameters import integer, validate_parameters


@dataclass(frozen=True, slots=True)
class TextDifference(PairedDifference):
    """The difference between two generators; see `softcloze.experiments.statistics.PairedDifference`.

    Attributes:
        metric: the metric.
    """

    metric: GenerationMetric


@dataclass(frozen=True, slots=True)
class SideBySide(Displayable):
    """Rows with their input, their reference and the texts of several generators.

    Attributes:
        inputs: of the rows; None if they are not known.
        references: the first reference of each row.
        texts: the text of each row, by generator.
    """

    inputs: tuple[str, ...] | None
    references: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]

    def content(self) -> Sequence[Block]:
        """A table with a line for the input, the reference and each text of a row."""
        lines = [("input", self.inputs)] if self.inputs is not None else []
        lines += [("reference", self.references), *self.texts.items()]
        rows = range(len(self.references))
        numbers: list[Cell] = [str(row) if at == 0 else "" for row in rows for at in range(len(lines))]
        columns = [
            Column("row", numbers, is_number=True),
            Column("", [Styled(name, "dim") for _ in rows for name, _ in lines], wrap="never"),
            Column("text", [texts[row] for row in rows for _, texts in lines]),
        ]
        return [Table(columns, sections=range(len(lines) - 1, len(numbers), len(lines)))]


@dataclass(frozen=True, slots=True)
class GenerationComparison(Displayable):
    """Generators on the same rows; `print`, `rich.print` and notebooks show a table of the metrics.

    Attributes:
        methods: the evaluations of each generator by its name, one for each draw of training examples.
        inputs: of the rows, for examples side by side; None if they are not known.
    """

    methods: Mapping[str, tuple[GenerationEvaluation, ...]]
    inputs: tuple[str, ...] | None = None

    @property
    def metrics(self) -> tuple[GenerationMetric, ...]:
        """The metrics, in the order in which they were measured."""
        return tuple(score.metric for score in self._first.scores)

    def spread(self, method: str, metric: GenerationMetric) -> Spread:
        """A metric over the draws of a generator."""
        return Spread.of([evaluation[metric].value for evaluation in self.methods[method]])

    def differences(self, metric: GenerationMetric = "chrf", baseline: str | None = None) -> tuple[TextDifference, ...]:
        """The differences between generators in pairs, on the same rows and draws.

        A generator with a single evaluation, such as a hard prompt, is compared with every draw of the others.

        Args:
            metric: one that was measured.
            baseline: the generator to compare all others with; None for all pairs.

        Returns:
            Differences; their p-values are corrected for the number of differences returned.

        Raises:
            ParameterError: an unknown metric or generator.

        Source:
            Bootstrap over rows of a corpus metric: Koehn, EMNLP 2004. Draws: `softcloze.experiments.statistics.paired`.
        """
        if metric not in self.metrics:
            raise ParameterError(f"metric={metric!r} was not measured; expected one of {', '.join(self.metrics)}")
        if baseline is not None and baseline not in self.methods:
            hint = did_you_mean(str(baseline), self.methods)
            raise ParameterError(f"unknown generator {baseline!r}; expected one of {list(self.methods)}{hint}")
        pairs = (
            combinations(self.methods, 2)
            if baseline is None
            else ((name, baseline) for name in self.methods if name != baseline)
        )
        resampling = Resampling(len(self._first.references))
        measured = {name: [draw.measured(metric) for draw in draws] for name, draws in self.methods.items()}
        parts = {name: np.stack([draw.parts for draw in draws]) for name, draws in measured.items()}
        value = next(iter(measured.values()))[0].value
        results = [(*pair, paired_sums(parts[pair[0]], parts[pair[1]], value, resampling)) for pair in pairs]
        corrected = holm([result.p for *_, result in results])
        return tuple(
            TextDifference(method, other, *result, p_corrected=p, metric=metric)
            for (method, other, result), p in zip(results, corrected, strict=True)
        )

    def side_by_side(self, rows: int = 10) -> SideBySide:
        """The texts of all generators in their first draw, for the first rows; they are not selected by any metric."""
        validate_parameters({"rows": rows}, {"rows": integer(at_least=1)})
        texts = {name: draws[0].predictions[:rows] for name, draws in self.methods.items()}
        references = tuple(references[0] for references in self._first.references[:rows])
        return SideBySide(self.inputs[:rows] if self.inputs is not None else None, references, texts)

    def content(self) -> Sequence[Block]:
        """A row for each generator: its metrics, with their standard deviation over draws."""
        columns = [
            Column("method", list(self.methods)),
            Column("draws", [str(len(draws)) for draws in self.methods.values()], is_number=True),
            *(
                Column(metric, [_mean_sd(metric, self.spread(name, metric)) for name in self.methods], is_number=True)
                for metric in self.metrics
            ),
        ]
        notes = [counted(len(self._first.references), "held-out row")]
        if any(len(draws) > 1 for draws in self.methods.values()):
            notes.append("mean ± standard deviation over draws of training examples")
        if self._first.bleu_tokenizer is not None:
            notes.append(f"tokenizer of BLEU: {self._first.bleu_tokenizer}")
        return [Table(columns), "; ".join(notes)]

    def report(self, path: str | Path) -> Path:
        """Write the comparison as one HTML page; see `softcloze.report.write_generation_report`."""
        from softcloze.report.generation_page import write_generation_report

        return write_generation_report(self, path)

    @property
    def _first(self) -> GenerationEvaluation:
        return next(iter(self.methods.values()))[0]


def difference_table(differences: Sequence[TextDifference]) -> Table:
    """A row for each difference, all of one metric."""
    metric = differences[0].metric
    intervals = [f"{show_value(metric, pair.low)} to {show_value(metric, pair.high)}" for pair in differences]
    columns = [
        Column("method", [pair.method for pair in differences]),
        Column("other", [pair.other for pair in differences]),
        Column("difference", [show_value(metric, pair.mean) for pair in differences], is_number=True),
        Column("95% interval", intervals, is_number=True),
        Column("p", [f"{pair.p_corrected:.3f}" for pair in differences], is_number=True),
    ]
    return Table(columns, title=metric)


def compare_generation(
    methods: Mapping[str, GenerationEvaluation | Sequence[GenerationEvaluation]], X: Iterable[Example] | None = None
) -> GenerationComparison:
    """Compare evaluations of several generators on the same rows.

    Args:
        methods: by name, an evaluation, or one for each draw of training examples; see `evaluate_draws`. All generators
            with several draws have the same ones in the same order.
        X: the examples of the rows, which are shown beside the texts.

    Raises:
        ParameterError: no evaluations, or not the same metrics or the same number of draws.
        DataError: the references differ, or `X` has another number of rows.

    >>> from softcloze.experiments import generation_metrics
    >>> references = ["今天下雨", "明天多云", "后天晴"]
    >>> comparison = compare_generation({
    ...     "soft": generation_metrics(["今天下雨", "明天多云", "后天雨"], references, ["chrf", "exact_match"]),
    ...     "hard": generation_metrics(["下雨", "多云", "晴"], references, ["chrf", "exact_match"]),
    ... })
    >>> print(comparison)
    <BLANKLINE>
      method   draws    chrf   exact_match
     ──────────────────────────────────────
      soft         1   89.60         66.7%
      hard         1   40.47          0.0%
    <BLANKLINE>
    3 held-out rows
    >>> (difference,) = comparison.differences("exact_match")
    >>> round(difference.mean, 3)
    0.667
    """
    runs = {
        name: (draws,) if isinstance(draws, GenerationEvaluation) else tuple(draws) for name, draws in methods.items()
    }
    if not runs or not all(runs.values()):
        raise ParameterError("methods needs one evaluation or more for each name")
    name, (first, *_) = next(iter(runs.items()))
    metrics = [score.metric for score in first.scores]
    numbers = sorted({len(draws) for draws in runs.values()} - {1})
    if len(numbers) > 1:
        raise ParameterError(
            f"methods have {' and '.join(map(str, numbers))} draws; give each one evaluation, or the same draws"
        )
    for other, draws in runs.items():
        for draw in draws:
            if (measured := [score.metric for score in draw.scores]) != metrics:
                raise ParameterError(
                    f"{name!r} was measured by {', '.join(metrics)}, but {other!r} by {', '.join(measured)}; "
                    "give all the same metrics"
                )
            if draw.bleu_tokenizer != first.bleu_tokenizer:
                tokenizers = f"{first.bleu_tokenizer} and {draw.bleu_tokenizer}"
                raise ParameterError(
                    f"{name!r} and {other!r} have different tokenizers of BLEU, {tokenizers}; give one"
                )
            if draw.references != first.references:
                raise DataError(f"{name!r} and {other!r} have different references; evaluate both on the same rows")
    inputs = None if X is None else tuple(map(_input, as_examples(X)))
    if inputs is not None and len(inputs) != len(first.references):
        count = len(first.references)
        raise DataError(f"X has {counted(len(inputs), 'row')}, but the evaluations have {count:,}; give the same rows")
    return GenerationComparison(runs, inputs)


def evaluate_draws(
    generator: BaseEstimator,
    X: Iterable[Example],
    answers: Iterable[str],
    test_X: Iterable[Example],
    references: Iterable[str | Iterable[str]],
    metrics: Sequence[GenerationMetric] = DEFAULT_METRICS,
    *,
    shots: int = 32,
    seeds: int | Sequence[int] = 5,
    folder: str | PathLike[str] | None = None,
) -> tuple[GenerationEvaluation, ...]:
    """Fit clones of a generator on several draws of training pairs, and evaluate each on the same held-out rows.

    The draws depend on `shots`, `seeds` and the number of pairs alone, so all generators get the same ones.

    Args:
        generator: an estimator with `fit(X, answers)` and `predict`; its `random_state` is set to each seed.
        X: examples to draw from.
        answers: the text of each.
        test_X: the held-out examples.
        references: as for `evaluate_generation`.
        metrics: as for `evaluate_generation`.
        shots: pairs in each draw.
        seeds: one draw for each; an integer is their number.
        folder: keeps the texts of finished draws, so that the same call resumes after an interruption; None for none.

    Raises:
        ParameterError: a value is out of range, or there are fewer pairs than `shots`; and as for
            `evaluate_generation`.
        FileError: the folder cannot be written.
        DataError: as for `evaluate_generation`, or not one answer for each example.
    """
    validate_parameters({"shots": shots}, {"shots": integer(at_least=1)})
    protocol = Protocol(seeds=seeds)
    examples, texts = as_examples(X), list(answers)
    if len(examples) != len(texts):
        raise DataError(f"X has {counted(len(examples), 'row')}, but answers has {len(texts):,}; give one for each")
    if len(examples) < shots:
        raise ParameterError(f"shots={shots}, but there are {counted(len(examples), 'pair')} to draw from")
    validate_measurable(generator, metrics)
    if folder is not None:
        validate_writable(expand_user(Path(folder)), folder=True)
    held_out, rows = as_examples(test_X), as_references(references, metrics)
    evaluations = []
    for seed in protocol.seeds:
        drawn = np.sort(np.random.default_rng(seed).permutation(len(examples))[:shots])
        pairs = TrainingPairs([examples[row] for row in drawn], [texts[row] for row in drawn])
        fresh = clone(generator)
        if "random_state" in fresh.get_params(deep=False):
            fresh.set_params(random_state=seed)
        fitted = KeptTexts(fresh, expand_user(Path(folder)), pairs) if folder is not None else fresh.fit(*pairs)
        evaluations.append(evaluate_generation(fitted, held_out, rows, metrics))
    return tuple(evaluations)


def _input(example: Example) -> str:
    """An example as one text: its fields in their order."""
    return example if isinstance(example, str) else " | ".join(str(value) for value in example.values() if value)


def _mean_sd(metric: GenerationMetric, spread: Spread) -> str:
    if spread.sd is None:
        return show_value(metric, spread.mean)
    return f"{show_value(metric, spread.mean)} ± {show_value(metric, spread.sd)}"
