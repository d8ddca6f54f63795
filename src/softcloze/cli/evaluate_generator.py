"""softcloze evaluate of a prompt that writes: metrics of its texts."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softcloze.cli.answers import ANSWERS, read_references
from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.input_files import Table
from softcloze.cli.progress import take_rows, warn_of_bad_rows
from softcloze.cli.resumable import RowCounts
from softcloze.cli.saved import Saved
from softcloze.errors import DataError

if TYPE_CHECKING:
    from softcloze.data import Example
    from softcloze.prompt import BoundGenerator

# names of a registry that is slow to import; a test compares them
Metric = StrEnum(
    "Metric",
    {
        "chrf": "chrf",
        "bleu": "bleu",
        "rouge1": "rouge1",
        "rouge2": "rouge2",
        "rougeL": "rougeL",
        "exact_match": "exact_match",
        "json_valid": "json_valid",
        "json_exact": "json_exact",
        "json_fields": "json_fields",
        "perplexity": "perplexity",
    },
)
MetricOption = Annotated[
    list[Metric] | None,
    typer.Option(
        "--metric",
        help="Metric of a prompt that writes; may be repeated; by default chrF, BLEU, ROUGE and the share of exact "
        "matches.",
    ),
]


def evaluate_generator(
    table: Table,
    saved: Saved,
    answer_column: str | None,
    text_column: str | None,
    metrics: Sequence[Metric] | None,
    options: dict[str, Any],
    model: str | None,
    report: Path | None,
) -> None:
    """Measure the texts of a generator, and print a table.

    Args:
        table: rows with right answers.
        saved: the generator.
        answer_column: column of the answers; None for "answer".
        text_column: column for the only field, as of `evaluate`, like the others.
        metrics: names; none for the default ones.
        options: changes of the options of writing.
        model: name of the model now.
        report: a page to write.
    """
    as_example = table.reader(saved.templates, text_column)
    references = read_references(table, answer_column if answer_column is not None else ANSWERS)

    from softcloze.analysis.text_metrics import validate_text_metrics
    from softcloze.experiments import compare_generation, evaluate_generation
    from softcloze.experiments.generation import DEFAULT_METRICS, GENERATION_METRICS, as_references
    from softcloze.prompt.streaming import WRITING_WINDOW, write_rows

    chosen: Any = [metric.value for metric in metrics] if metrics else DEFAULT_METRICS
    validate_text_metrics(chosen, GENERATION_METRICS)
    for index, reference in enumerate(references):
        try:
            as_references([reference], chosen)
        except DataError as error:
            raise table.problem(index, str(error).removeprefix("row 0: ")) from error
    changes = saved.options(options)
    bound = saved.open_writer(model)
    counts, texts = RowCounts(verb="answered"), dict[int, str]()
    written = write_rows(bound, map(as_example, table.rows()), changes)
    for window in take_rows(written, table.count, work="writing texts", window=WRITING_WINDOW):
        for row in window:
            counts.add(row.text, row.error)
            if row.text is not None:
                texts[row.row] = row.text
    counts.validate(table)
    examples = [as_example(row) for index, row in enumerate(table.rows()) if index in texts]
    right = [references[index] for index in texts]
    evaluation = evaluate_generation(_Written(bound, [*texts.values()]), examples, right, chosen)
    results().print(evaluation)
    warn_of_bad_rows(table, counts, "and are left out")
    if report is not None:
        inputs = [saved.templates[0].read_fields(example) for example in examples]
        page = compare_generation({str(saved.folder): evaluation}, inputs).report(report)
        say(errors(), "the page is ", plain(page, "bold"))


class _Written:
    """A generator whose texts are written already."""

    def __init__(self, bound: "BoundGenerator", texts: Sequence[str]):
        self._bound, self._texts = bound, texts

    def predict(self, X: "Iterable[Example]") -> Sequence[str]:
        return self._texts

    def log_likelihood(self, X: "Iterable[Example]", answers: Iterable[str]) -> Sequence[float]:
        return [*map(float, self._bound.log_likelihood([*X], [*answers]))]
