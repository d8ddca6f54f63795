"""softcloze fit --auto: choose template, label words and head, and save the result."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from softcloze.cli.console import errors, plain, quiet, results, say
from softcloze.cli.delimited import Row
from softcloze.cli.fit_files import (
    explain_interruption,
    progress_folder,
    save,
    say_training_accuracy,
    warn_of_language,
)
from softcloze.cli.input_files import Table
from softcloze.cli.options import validate_budget
from softcloze.cli.progress import fetch, fetch_starter
from softcloze.cli.saved import Saved
from softcloze.errors import CommandError
from softcloze.files import validate_writable
from softcloze.formatting import one_line, percent, quoted_list
from softcloze.prompt.card import CARD, PROMPT
from softcloze.template import Template, is_field_name, template_of_fields

if TYPE_CHECKING:
    from softcloze.automatic import TrialRecord

TEXT = "text"  # the field of a single column, as in the templates of the library


class TrainingRows(NamedTuple):
    """Labelled rows.

    Attributes:
        examples: the fields of each row.
        labels: the label of each.
        weights: the weight of each; None for equal ones.
    """

    examples: Sequence[Row]
    labels: Sequence[str]
    weights: Sequence[float] | None


def read_texts(table: Table, columns: Sequence[str], others: Sequence[str | None]) -> list[Row]:
    """Read the columns that a classifier without a template shows; arguments and errors as of `texts_template`.

    Raises:
        FileError: a row is damaged or lacks a value, too; names the line.
    """
    template, column = texts_template(table, columns, others)
    return [template.read_fields(row) for row in table.examples([template], column)]


def texts_template(table: Table, columns: Sequence[str], others: Sequence[str | None]) -> tuple[Template, str | None]:
    """A template that shows the columns of the texts, and the column of its only field if there is one.

    Args:
        table: the rows.
        columns: the columns, as given; none for the column "text", or the only one beside `others`.
        others: columns that are not for the classifier: labels and weights.

    Raises:
        CommandError: it is not clear which columns to show, or one has a name that no field of a template can have.
        FileError: a column is missing.
    """
    if not columns:
        rest = [name for name in table.columns if name not in others]
        columns = [TEXT] if TEXT in rest else rest
        if len(columns) != 1:
            raise CommandError(
                f"{table.source} has the columns {quoted_list(table.columns)}, and without a template the texts are in "
                f"{TEXT!r}, or in the only column beside the labels; name the columns of the texts with --text-column, "
                "once for each"
            )
    names = [TEXT] if len(columns) == 1 else [table.find_column(column) for column in columns]
    for name in names:
        if not is_field_name(name):
            raise CommandError(
                f"the column {name!r} cannot be a field of a template, which is a word of letters, digits and _ that "
                "is no tag; rename the column"
            )
    return template_of_fields([*dict.fromkeys(names)]), columns[0] if len(columns) == 1 else None


def fit_automatically(
    rows: TrainingRows,
    out: Path,
    model: str,
    report: Path | None,
    *,
    budget: str | None,
    members: int | None,
    encoder: str | None,
    templates: Sequence[Template],
    candidates: int | None,
    **parameters: Any,  # noqa: ANN401 - of AutoPromptClassifier
) -> None:
    """Fit an `AutoPromptClassifier`, print its trials, and save the result.

    It is saved as an ensemble, or as a prompt if `members` is 1 and there is no encoder.

    Args:
        rows: the training rows.
        out: the folder.
        model: name or path of the model.
        report: HTML file for the trials; None for none.
        budget: as for `AutoPromptClassifier`; None for none.
        members: as for `AutoPromptClassifier`; None for its default.
        encoder: as for `AutoPromptClassifier`.
        templates: templates to try first.
        candidates: number of templates to try; None for all.
        **parameters: other parameters of `AutoPromptClassifier`.

    Raises:
        CommandError: the budget is no duration.
        SoftclozeError: as `AutoPromptClassifier.fit`.
    """
    is_ensemble = members != 1 or encoder is not None
    folder, card = _validate_target(out, is_ensemble=is_ensemble)

    from softcloze.automatic import AutoPromptClassifier
    from softcloze.automatic.feature_store import remove_features
    from softcloze.classifiers import PromptEnsemble

    validate_budget(budget)
    progress = progress_folder(folder)
    validate_writable(progress, folder=True)
    warn_of_language(model, rows.examples)
    quiet()
    fetch(model)
    if encoder is not None:
        fetch_starter(encoder)
    with explain_interruption(folder / card, progress):
        with _show_trials(len(rows.examples), candidates) as on_trial:
            classifier = AutoPromptClassifier(
                model,  # by its name: the rows are validated before it is loaded
                templates=templates,
                budget=budget,
                candidates=candidates,
                members=members if members is not None else AutoPromptClassifier.members,
                encoder=encoder,
                checkpoint=progress,
                on_trial=on_trial,
                **parameters,
            ).fit(rows.examples, rows.labels, rows.weights)
        best = classifier.best_estimator_
        save(PromptEnsemble([best]) if is_ensemble and not isinstance(best, PromptEnsemble) else best, folder)
        remove_features(progress)
        results().print(classifier.trials_)
        if report is not None:
            classifier.trials_.report(report)
            say(errors(), "the page is ", plain(report, "bold"))
        say_training_accuracy(Saved.read(folder).bind(classifier.backbone_), rows.examples, rows.labels, out)


def _validate_target(out: Path, *, is_ensemble: bool) -> tuple[Path, str]:
    """The folder, and the name of the card that it will have; raises as `SavedFolder.validate_target`."""
    if not is_ensemble:
        return PROMPT.validate_target(out), CARD
    from softcloze.prompt.ensemble import ENSEMBLE  # with scipy, which is slow to import

    return ENSEMBLE.validate_target(out), ENSEMBLE.card


@contextmanager
def _show_trials(examples: int, candidates: int | None) -> "Iterator[Callable[[TrialRecord], None]]":
    """Show the best trial so far on the error stream: beside a bar on a terminal, else in a line for each template.

    Args:
        examples: number of training rows.
        candidates: number of templates to try, None if it is not known.

    Yields:
        A function that takes the best trial so far.
    """
    console, tried = errors(), 0
    work = f"choosing on {examples:,} rows"
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(
            "{task.fields[best]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(work, total=candidates, best="")

        def on_trial(best: "TrialRecord") -> None:
            nonlocal tried
            tried += 1
            line = (
                f"best so far: log loss {best.log_loss:.3f}, accuracy {percent(best.accuracy)}, {best.way}, "
                f"{one_line(best.template)}"
            )
            bar.update(
                task, completed=tried, total=max(candidates, tried) if candidates is not None else None, best=line
            )
            if not console.is_terminal:
                say(console, plain(f"{work}: {tried:,} tried, {line}"))

        yield on_trial
