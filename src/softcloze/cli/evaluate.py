"""softcloze evaluate: scores of a saved prompt on rows with labels or answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from softcloze.cli.answers import AnswerOption, WritingOption, read_options
from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.evaluate_generator import MetricOption, evaluate_generator
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.input_files import Table as InputTable
from softcloze.cli.input_files import open_table
from softcloze.cli.options import (
    FileArgument,
    LabelOption,
    OtherEncoderOption,
    OtherModelOption,
    PromptOption,
    ReportOption,
    TextOption,
    given_options,
)
from softcloze.cli.output_files import validate_page
from softcloze.cli.progress import score_rows, warn_of_bad_rows
from softcloze.cli.saved import Saved
from softcloze.display import Column, Styled, Table, rich_table
from softcloze.errors import CommandError, DataError, FieldError
from softcloze.formatting import counted, did_you_mean, quoted_list
from softcloze.verbalizer import FieldVerbalizer, as_label

if TYPE_CHECKING:
    from softcloze.calibration.metrics import ConfidenceBin


WITH_LABELS, WITH_ANSWERS = ("label_column", "encoder"), ("answer_column", "metric", "option")


@takes_format
def evaluate(
    context: typer.Context,
    file: FileArgument,
    prompt: PromptOption,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    answer_column: AnswerOption = None,
    metric: MetricOption = None,
    option: WritingOption = None,
    model: OtherModelOption = None,
    encoder: OtherEncoderOption = None,
    report: ReportOption = None,
    format: FileFormat = PLAIN,
) -> None:
    """Measure a saved prompt on labelled rows: accuracy, reliability, scores of each class, confusions.

    A prompt that writes is measured on rows with right answers, in the column "answer" or that of --answer-column:
    metrics of its texts, each with a 95% interval over the rows. A row of JSON lines may have a list of right answers.
    """
    if report is not None:
        validate_page(report, file)
    saved = Saved.read(prompt)
    others = WITH_LABELS if saved.writes else WITH_ANSWERS
    if flags := [flag for name, flag in given_options(context).items() if name in others]:
        kind = "writes text" if saved.writes else "has labels"
        raise CommandError(f"{prompt} {kind}, and {flags[0]} is for prompts of the other kind; leave it out")
    if saved.writes:
        evaluate_generator(
            open_table(file, format), saved, answer_column, text_column, metric, read_options(option), model, report
        )
        return
    table = open_table(file, format)
    as_example = table.reader(saved.templates, text_column)
    labels = _chosen(table, saved.choices, label_column, saved.label_texts)
    if report is not None:
        from softcloze.report import require_matplotlib

        require_matplotlib()
    scored = score_rows(saved.open(model, encoder), map(as_example, table.rows()), table.count)
    scored.counts.validate(table)
    rows = [i for i, label in enumerate(scored.predicted) if label is not None]
    pairs = [(labels[i], scored.labels[int(scored.probabilities[i].argmax())]) for i in rows]
    true, predicted = zip(*pairs, strict=True)

    import numpy as np
    from sklearn.metrics import recall_score  # slow to import

    from softcloze.calibration import expected_calibration_error
    from softcloze.calibration.metrics import confidence_bins

    right = np.array([label == other for label, other in pairs])
    balanced = recall_score(true, predicted, labels=sorted(set(true)), average="macro", zero_division=0)
    error = expected_calibration_error(true, scored.probabilities[rows], labels=scored.labels)
    bins = confidence_bins(right, scored.probabilities[rows].max(axis=1))
    metrics = [
        ("accuracy", f"{right.mean():.3f}", f"{right.sum():,} of {counted(len(pairs), 'row')}"),
        ("balanced accuracy", f"{balanced:.3f}", ""),
        ("calibration error", f"{error:.3f}", "gap between confidence and accuracy"),
    ]
    tables = [
        reliability_table(bins),
        class_table(scored.labels, true, predicted),
        confusion_table(scored.labels, true, predicted),
    ]
    console = results()
    for name, value, note in metrics:
        say(console, f"{name:<17}  {value}   {note}".rstrip())
    for part in tables:
        console.print(rich_table(part))
    warn_of_bad_rows(table, scored.counts, "and are left out")
    if report is not None:
        from softcloze.analysis.soft_slots import slot_tables
        from softcloze.prompt import Prompt
        from softcloze.report.evaluation_page import write_evaluation_report

        names, values, notes = zip(*metrics, strict=True)
        summary = Table([Column("metric", names), Column("value", values, is_number=True), Column("", notes)])
        models = {"model": (model, saved.model), "encoder": (encoder, saved.encoder)}
        facts = {"prompt": str(prompt)}
        facts |= {kind: given or named for kind, (given, named) in models.items() if named is not None}
        facts["rows"] = str(file)
        if scored.counts.problems:
            facts["rows that could not be scored"] = f"{scored.counts.problems:,}"
        slots = [part for card in saved.prompts for part in slot_tables(Prompt.load(card.folder))]
        write_evaluation_report(report, saved.prompts, facts, [summary, *tables], bins, slots)
        say(errors(), "the page is ", plain(report, "bold"))


def _chosen(table: InputTable, choices: FieldVerbalizer | None, label_column: str, known: Sequence[str]) -> list[str]:
    """The label of each row as text; of choices of the rows their indices, "" where there are none to read.

    Raises:
        FileError: a label is missing, unknown, or not among the choices of its row; names the line.
    """
    if choices is None or choices.answers == "index":
        return table.labels(label_column, known)
    column, labels = table.find_column(label_column, hint=" (--label-column names another)"), []
    for index, row in enumerate(table.rows()):
        try:
            answer, words = str(as_label(row.get(column), "the row")), choices.choices(row)
        except DataError as error:
            raise table.problem(index, error) from error
        except FieldError:  # a row that cannot be scored
            labels.append("")
            continue
        if answer not in words:
            message = f"label {answer!r} is not one of the choices {quoted_list(words)}{did_you_mean(answer, words)}"
            raise table.problem(index, message)
        labels.append(str(words.index(answer)))
    return labels


def reliability_table(bins: "Sequence[ConfidenceBin]") -> Table:
    """Accuracy by confidence, the probability of the predicted label, in the ten bins of the calibration error."""
    return Table(
        [
            Column("confidence", [f"{part.low:.1f} to {part.high:.1f}" for part in bins]),
            Column("mean", [f"{part.confidence:.3f}" for part in bins], is_number=True),
            Column("accuracy", [f"{part.accuracy:.3f}" for part in bins], is_number=True),
            Column("rows", [f"{part.rows:,}" for part in bins], is_number=True),
        ]
    )


def class_table(labels: Sequence[str], true: Sequence[str], predicted: Sequence[str]) -> Table:
    """Precision, recall, F1 and support of each class."""
    from sklearn.metrics import precision_recall_fscore_support

    *scores, support = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    names = ("precision", "recall", "F1")
    return Table(
        [
            Column("class", labels),
            *(
                Column(name, [f"{value:.3f}" for value in values], is_number=True)
                for name, values in zip(names, scores, strict=True)
            ),
            Column("rows", [f"{count:,}" for count in support], is_number=True),
        ]
    )


def confusion_table(labels: Sequence[str], true: Sequence[str], predicted: Sequence[str]) -> Table:
    """Rows of each class by predicted label; the right ones are bold."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(true, predicted, labels=labels)
    columns = [
        Column(label, [Styled(f"{counts[i, j]:,}", "bold" if i == j else "") for i in range(len(labels))], True)
        for j, label in enumerate(labels)
    ]
    return Table([Column("true \\ predicted", labels), *columns])
