"""softcloze predict: label the rows of a file with a saved prompt."""

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.input_files import Table
from softcloze.cli.options import (
    OUT_HELP,
    FileArgument,
    OtherEncoderOption,
    OtherModelOption,
    TextOption,
    TokenFileOption,
    read_token,
)
from softcloze.cli.progress import warn_of_bad_rows
from softcloze.cli.resumable import Result, RowCounts
from softcloze.cli.row_run import open_rows, print_results, resume_output, run_rows, validate_new_columns, write_results
from softcloze.cli.saved import Saved, read_classifier
from softcloze.cli.served import ServedPrompt
from softcloze.cli.shard import Shard
from softcloze.cli.sources import STANDARD
from softcloze.display import Column, Styled, rich_table
from softcloze.display import Table as DisplayTable
from softcloze.errors import CommandError, FileError
from softcloze.formatting import counted, one_line

if TYPE_CHECKING:
    from softcloze.prompt.streaming import Prediction

    Score: TypeAlias = Callable[[Iterator[Any]], Iterator[Prediction]]

PREVIEW_ROWS = 10  # rows of the table in the terminal
NARROWEST = 10  # cells of a text in that table


@takes_format
def predict(
    file: FileArgument,
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt",
            metavar="FOLDER",
            help="Folder of a saved prompt, probe or ensemble; with --url the name of a prompt of the service, as in "
            "reviews or reviews@3.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=OUT_HELP),
    ] = None,
    text_column: TextOption = None,
    model: OtherModelOption = None,
    encoder: OtherEncoderOption = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="A service that scores the rows, as in http://127.0.0.1:8000."),
    ] = None,
    token_file: TokenFileOption = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard the rows of an interrupted run and begin anew.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="K/N",
            help="Label the k-th of n parts of the rows, as in 3/16; softcloze join writes --out when all are done.",
        ),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Compile the model with torch: takes half a minute, faster for many rows."),
    ] = False,
    format: FileFormat = PLAIN,
) -> None:
    """Predict a label and the probability of each class for every row; without --out, print the first rows.

    A row that cannot be scored gets the reason instead of a label; all other rows are labelled. Run the same command
    again to resume an interrupted run.
    """
    if url is not None and (model is not None or encoder is not None or compile):
        raise CommandError(
            "--url has the service score the rows, with its own model; leave out --model, --encoder and --compile"
        )
    part = Shard.of_output(shard, out)
    table = open_rows(file, out, format, restart=restart, in_parts=part is not None)
    saved = read_classifier(prompt) if url is None else ServedPrompt.find(url, prompt, read_token(token_file))
    names = ("predicted", *(f"probability_{label}" for label in saved.label_texts), "error")
    validate_new_columns(table, names)
    as_example = table.reader(saved.templates, text_column)
    from softcloze.prompt.streaming import WINDOW

    rows = range(table.count) if part is None else part.rows(table.count, WINDOW)
    table = table.part(rows)
    counts = RowCounts.of(saved.label_texts)
    output = None
    if out is not None and out != STANDARD:
        purpose = {"prompt": saved.checksum, "--text-column": text_column}
        output = resume_output(out, table, names, purpose, counts, restart=restart, shard=part)
    score = (
        _scorer(saved, rows.start + counts.rows, model, encoder, compile=compile) if counts.rows < table.count else iter
    )
    windows = run_rows(score, table, as_example, _result, done=counts.rows, work="scoring rows", window=WINDOW)
    if output is not None:
        write_results(output, windows)
    elif out == STANDARD:
        print_results(table, windows, names, counts)
    else:
        shown = _count(table, windows, counts)
        columns = saved.templates[0].fields if text_column is None else (text_column,)
        results().print(rich_table(_preview(table, shown, columns, saved.label_texts, results())))
    if output is None:
        where = ""
    elif part is None:
        where = f"; written to {out}"
    else:
        where = f"; {part.kept_in(output.journal)}"
    # there are as many different choices as rows
    console = errors() if out == STANDARD else results()
    say_labelled(counts, () if saved.answers_words else saved.label_texts, where, console)
    warn_of_bad_rows(table, counts, "and have no label")


def say_labelled(counts: RowCounts, labels: Sequence[str], where: str, console: Console) -> None:
    """Say how many rows have a label, how many have each of some labels, and where they are."""
    by_label = ", ".join(f"{label} {counts.labels[label]:,}" for label in labels)
    say(
        console,
        f"{counted(counts.answered, 'row')} labelled",
        plain(f": {by_label}" if by_label else ""),
        plain(where),
    )


def _scorer(
    saved: Saved | ServedPrompt, first: int, model: str | None, encoder: str | None, *, compile: bool
) -> "Score":
    """The function that predicts the rows from index `first` on: here, or by a service."""
    if isinstance(saved, ServedPrompt):
        return partial(saved.predict_rows, first=first)
    from softcloze.prompt.streaming import predict_rows

    return partial(predict_rows, saved.open(model, encoder, compile=compile))


def _result(prediction: "Prediction") -> Result:
    label = str(prediction.label) if prediction.error is None else None
    return Result(label, prediction.probabilities, prediction.error)


def _count(table: Table, windows: "Generator[list[Result]]", counts: RowCounts) -> list[Result]:
    """Count all results, and return the first ones for the preview."""
    first: list[Result] = []
    for window in windows:
        first += window[: PREVIEW_ROWS - len(first)]
        for result in window:
            counts.add(result.answer, result.error)
    counts.validate(table)
    return first


def _preview(
    table: Table, first: Sequence[Result], columns: Sequence[str], labels: Sequence[str], console: Console
) -> DisplayTable:
    """The first rows with their labels, the texts shortened to the width of the console.

    Where the probabilities of all labels leave no room for the texts, only that of the predicted label stays.
    """
    rows = [{} if isinstance(line, FileError) else line for line in islice(table.lines(), len(first))]
    places = [*map(str.split, map(table.place, range(len(first))))]
    predicted = [
        Styled(result.answer, "bold") if result.answer is not None else Styled("no label", "red") for result in first
    ]
    chances = [result.probabilities for result in first]
    every = [
        Column(label, [f"{row[i]:.3f}" if row is not None else "" for row in chances], is_number=True)
        for i, label in enumerate(labels)
    ]
    highest = Column("prob.", [f"{max(row):.3f}" if row is not None else "" for row in chances], is_number=True)
    more = table.count > len(first)

    def fitted(room: int, probabilities: Sequence[Column]) -> DisplayTable:
        texts = ([name, *(str(row.get(name, "")) for row in rows)] for name in columns)
        shortened = [[_shorten(text, room) for text in column] for column in texts]
        return DisplayTable(
            [
                Column(places[0][0], [number for _, number in places], is_number=True, style="dim"),
                *(Column(name, cells, wrap="never") for name, *cells in shortened),
                Column("label", predicted, wrap="never" if room != NARROWEST else "fold"),
                *probabilities,
            ],
            caption=f"the first {len(first)} of {table.count:,} rows; --out FILE writes all" if more else "",
        )

    for probabilities in (every, [highest]):
        taken = console.measure(rich_table(fitted(0, probabilities)), options=console.options.update_width(10_000))
        room = (console.width - taken.maximum) // max(len(columns), 1)
        if room >= NARROWEST:
            break
    if room < NARROWEST and len(columns) > 1:
        return _preview(table, first, columns[:-1], labels, console)
    return fitted(max(room, NARROWEST), probabilities)


def _shorten(text: str, cells: int) -> str:
    """Shorten a text, on one line, to a number of terminal cells."""
    line = one_line(text[: 2 * cells])  # never wider than its characters, of two cells at most
    return line if cell_len(line) <= cells and len(text) <= 2 * cells else set_cell_size(line, cells - 1).rstrip() + "…"
