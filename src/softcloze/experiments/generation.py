"""Evaluation of generated texts: metrics with intervals over the rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast
from typing import Literal as OneOf

import numpy as np

from softcloze.analysis.json_fields import field_shares, json_rows
from softcloze.analysis.text_metrics import (
    CONSTRAINTS,
    TEXT_METRICS,
    MeasuredTexts,
    TextMetric,
    mean_over_rows,
    measure_texts,
    tokenizer_for_bleu,
    validate_text_metrics,
)
from softcloze.data import Example, as_examples
from softcloze.data.examples import iterate_column, validate_collection
from softcloze.display import Block, Column, Displayable, Table
from softcloze.errors import DataError, ParameterError
from softcloze.experiments.statistics import LEVEL, Resampling
from softcloze.formatting import counted, percent, quoted
from softcloze.parameters import validate_parameters

if TYPE_CHECKING:
    import pandas

GenerationMetric: TypeAlias = TextMetric | OneOf["perplexity"]
GENERATION_METRICS: tuple[GenerationMetric, ...] = (*TEXT_METRICS, "perplexity")
DEFAULT_METRICS: tuple[GenerationMetric, ...] = ("chrf", "bleu", "rouge1", "rouge2", "rougeL", "exact_match")
SHARES = frozenset(("exact_match", "json_valid", "json_exact", "json_fields"))


class Generator(Protocol):
    """A fitted estimator that writes a text for each example."""

    def predict(self, X: Iterable[Example]) -> Sequence[str]:
        """The text of each example."""
        ...


class ScoringGenerator(Generator, Protocol):
    """A generator that also scores given texts, which `"perplexity"` needs."""

    def log_likelihood(self, X: Iterable[Example], answers: Iterable[str]) -> Sequence[float]:
        """Mean log-probability of the tokens of each answer, in nats, shape (examples,)."""
        ...


@dataclass(frozen=True, slots=True)
class TextScore:
    """A metric of generated texts.

    Attributes:
        metric: its name.
        value: over all rows.
        low: lower end of its 95% bootstrap interval over the rows.
        high: upper end of that interval.
        rows: the metric of each row by itself.
    """

    metric: GenerationMetric
    value: float
    low: float
    high: float
    rows: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GenerationEvaluation(Displayable):
    """Generated texts beside their references; `print`, `rich.print` and notebooks show a table of the metrics.

    Attributes:
        predictions: the generated texts.
        references: one or more for each of them.
        scores: of the metrics, in the order in which they were asked for.
        bleu_tokenizer: the tokenizer of sacrebleu, if BLEU is among the metrics.
        log_likelihoods: of the first reference of each row, in nats per token, if perplexity is among the metrics.
    """

    predictions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    scores: tuple[TextScore, ...]
    bleu_tokenizer: str | None = None
    log_likelihoods: tuple[float, ...] | None = None

    def __getitem__(self, metric: GenerationMetric) -> TextScore:
        """The score of a metric.

        Raises:
            ParameterError: it was not measured.
        """
        for score in self.scores:
            if score.metric == metric:
                return score
        raise ParameterError(f"{metric!r} was not measured; expected {', '.join(s.metric for s in self.scores)}")

    def fields(self) -> dict[str, float]:
        """Share of rows in which each field of the JSON references is right; a text that is no valid object is wrong.

        Raises:
            DataError: a reference is not a JSON object; names the row.
        """
        return field_shares(json_rows(self.predictions, self.references))

    def measured(self, metric: GenerationMetric) -> MeasuredTexts:
        """A metric in parts that add up over rows, for comparisons."""
        if metric == "perplexity":
            return _perplexity(self.log_likelihoods or ())
        return measure_texts(metric, self.predictions, self.references, self.bleu_tokenizer)

    def content(self) -> Sequence[Block]:
        """A row for each metric, and a table of the fields of JSON if they were measured."""
        notes = [counted(len(self.predictions), "row"), "95% interval: bootstrap over rows"]
        if self.bleu_tokenizer is not None:
            notes.append(f"tokenizer of BLEU: {self.bleu_tokenizer}")
        columns = [
            Column("metric", [score.metric for score in self.scores]),
            Column("value", [show_value(score.metric, score.value) for score in self.scores], is_number=True),
            Column(
                "95% interval",
                [" to ".join(show_value(s.metric, end) for end in (s.low, s.high)) for s in self.scores],
                is_number=True,
            ),
        ]
        blocks: list[Block] = [Table(columns), "; ".join(notes)]
        if any(score.metric == "json_fields" for score in self.scores):
            shares = self.fields()
            values = [percent(share) for share in shares.values()]
            blocks += [Table([Column("field", list(shares)), Column("right", values, is_number=True)])]
        return blocks

    def to_pandas(self) -> "pandas.DataFrame":
        """A row for each text: prediction, first reference, and each metric of the row by itself."""
        import pandas

        texts = {"prediction": self.predictions, "reference": [row[0] for row in self.references]}
        return pandas.DataFrame(texts | {score.metric: score.rows for score in self.scores})


def generation_metrics(
    predictions: Iterable[str],
    references: Iterable[str | Iterable[str]],
    metrics: Sequence[GenerationMetric] = DEFAULT_METRICS,
    *,
    bleu_tokenizer: str | None = None,
) -> GenerationEvaluation:
    """Measure generated texts against their references.

    Args:
        predictions: a text for each row.
        references: a text or several for each row; any may be empty.
        metrics: names; see `softcloze.analysis.measure_texts`.
        bleu_tokenizer: "13a", "zh", "char", "intl" or "none" of sacrebleu; None takes "zh" if a reference has Chinese
            characters, "char" for Japanese, Thai, Lao, Khmer and Burmese, else "13a".

    Raises:
        ParameterError: an unknown metric or tokenizer, or a package that is not installed.
        DataError: texts and references do not correspond, or are none; names the row.

    >>> evaluation = generation_metrics(["今天下雨", "明天晴"], ["今天下雨", "明天多云"], ["chrf", "exact_match"])
    >>> [(score.metric, round(score.value, 1)) for score in evaluation.scores]
    [('chrf', 63.9), ('exact_match', 0.5)]
    """
    validate_text_metrics(metrics)
    return _evaluate(_texts(predictions), as_references(references, metrics), metrics, bleu_tokenizer)


def evaluate_generation(
    generator: Generator,
    X: Iterable[Example],
    references: Iterable[str | Iterable[str]],
    metrics: Sequence[GenerationMetric] = DEFAULT_METRICS,
    *,
    bleu_tokenizer: str | None = None,
) -> GenerationEvaluation:
    """Have a generator write a text for each example, and measure the texts against references.

    Args:
        generator: any object whose `predict` returns texts.
        X: the examples.
        references: a text or several for each example; any may be empty.
        metrics: as for `generation_metrics`, and "perplexity", the perplexity of the first reference of each example
            under the generator: e to the power of minus the mean of `log_likelihood`, in which each example counts the
            same, whatever its length.
        bleu_tokenizer: as for `generation_metrics`.

    Raises:
        ParameterError: as for `generation_metrics`, or "perplexity" of a generator without `log_likelihood`.
        DataError: as for `generation_metrics`.

    >>> class Upper:
    ...     def predict(self, X):
    ...         return [x.upper() for x in X]
    >>> evaluation = evaluate_generation(Upper(), ["ok", "no"], ["OK", "No"])
    >>> evaluation["exact_match"].value, evaluation["exact_match"].rows
    (0.5, (1.0, 0.0))
    """
    validate_measurable(generator, metrics)
    validate_parameters({"bleu_tokenizer": bleu_tokenizer}, CONSTRAINTS)
    examples, rows = as_examples(X), as_references(references, metrics)
    if len(rows) != len(examples):
        raise DataError(f"X has {counted(len(examples), 'row')}, but references has {len(rows):,}; give one for each")
    likelihoods: tuple[float, ...] | None = None
    if "perplexity" in metrics:
        scorer = cast(ScoringGenerator, generator)
        likelihoods = tuple(map(float, scorer.log_likelihood(examples, [row[0] for row in rows])))
    return _evaluate(_texts(generator.predict(examples)), rows, metrics, bleu_tokenizer, likelihoods)


def validate_measurable(generator: object, metrics: Sequence[GenerationMetric]) -> None:
    """Raise ParameterError for an unknown metric, or one that needs a method that the generator lacks."""
    validate_text_metrics(metrics, GENERATION_METRICS)
    if "perplexity" in metrics and not hasattr(generator, "log_likelihood"):
        raise ParameterError(
            f"metric 'perplexity' needs a generator with log_likelihood; {type(generator).__name__} has none"
        )


def as_references(
    values: Iterable[str | Iterable[str]], metrics: Sequence[GenerationMetric]
) -> tuple[tuple[str, ...], ...]:
    """References as a tuple with one or more texts for each row.

    Raises:
        DataError: they are a single text or none at all, or a row is neither a text nor a list of texts, or no JSON
            object for a metric of JSON; names the row.
    """
    validate_collection(values, "references", "a list of texts, or of lists of texts")
    rows = []
    for row, value in enumerate(iterate_column(values, "references", "text")):
        is_list = isinstance(value, list | tuple | np.ndarray)
        texts = tuple(value) if is_list else (value,)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise DataError(f"row {row} of the references is {quoted(value)}; expected a text, or a list of texts")
        rows.append(tuple(map(str, texts)))
    if not rows:
        raise DataError("references is empty; give one row or more")
    if any(metric.startswith("json") for metric in metrics):
        json_rows([row[0] for row in rows], rows)
    return tuple(rows)


def show_value(metric: GenerationMetric, value: float) -> str:
    """A value of a metric for tables; shares are in percent.

    >>> show_value("chrf", 41.666), show_value("json_valid", 0.951), show_value("rougeL", 0.5)
    ('41.67', '95.1%', '0.500')
    """
    if metric in SHARES:
        return percent(value)
    return f"{value:.3f}" if metric.startswith("rouge") else f"{value:.2f}"


def _evaluate(
    predictions: tuple[str, ...],
    rows: tuple[tuple[str, ...], ...],
    metrics: Sequence[GenerationMetric],
    bleu_tokenizer: str | None,
    log_likelihoods: tuple[float, ...] | None = None,
) -> GenerationEvaluation:
    validate_parameters({"bleu_tokenizer": bleu_tokenizer}, CONSTRAINTS)
    if len(rows) != len(predictions):
        raise DataError(
            f"predictions has {counted(len(predictions), 'row')}, but references has {len(rows):,}; give one for each"
        )
    tokenizer = (bleu_tokenizer or tokenizer_for_bleu(rows)) if "bleu" in metrics else None
    evaluation = GenerationEvaluation(predictions, rows, (), tokenizer, log_likelihoods)
    counts = Resampling(len(rows)).counts
    scores = []
    for metric in dict.fromkeys(metrics):
        measured = evaluation.measured(metric)
        drawn = measured.value(counts @ measured.parts)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        scores.append(TextScore(metric, measured.total, float(low), float(high), tuple(measured.rows.tolist())))
    return GenerationEvaluation(predictions, rows, tuple(scores), tokenizer, log_likelihoods)


def _perplexity(log_likelihoods: Sequence[float]) -> MeasuredTexts:
    mean = mean_over_rows([-float(value) for value in log_likelihoods])
    return MeasuredTexts(np.exp(mean.rows), mean.parts, lambda sums: np.exp(mean.value(sums)))


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    """Predictions as a tuple.

    Raises:
        DataError: they are a single text, or one of them is not a text; names the row.
    """
    validate_collection(values, "predictions", "a list of texts")
    texts = tuple(iterate_column(values, "predictions", "text"))
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"row {row} of the predictions is {quoted(text)}; expected a text")
    return tuple(map(str, texts))
