"""softcloze predict: label the rows of a file with a saved prompt.

The input may be larger than memory, so it is read several times: once to check every row and to find the columns,
once to identify it by a checksum, once to score it, and with --out once more to write its rows with their labels.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from hashlib import file_digest
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.delimited import Row
from softcloze.cli.input_files import Table, open_table, validate_suffix
from softcloze.cli.options import (
    FileArgument,
    OtherEncoderOption,
    OtherModelOption,
    TextOption,
    TokenFileOption,
    read_token,
)
from softcloze.cli.output_files import is_same
from softcloze.cli.progress import label_rows, warn_of_bad_rows
from softcloze.cli.resumable import Result, ResumableOutput, RowCounts
from softcloze.cli.saved import Saved
from softcloze.cli.served import ServedPrompt
from softcloze.display import Column, Styled, rich_table
from softcloze.display import Table as DisplayTable
from softcloze.errors import CommandError, FileError, ServiceError
from softcloze.formatting import counted, one_line

if TYPE_CHECKING:
    from softcloze.prompt.streaming import Prediction

    Score: TypeAlias = Callable[[Iterator[Any]], Iterator[Prediction]]

PREVIEW_ROWS = 10  # rows of the table in the terminal
NARROWEST = 10  # cells of a text in that table


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
        typer.Option(metavar="FILE", help="Output with all rows: a .csv, .tsv, .jsonl or .parquet file."),
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
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Compile the model with torch: takes half a minute, faster for many rows."),
    ] = False,
) -> None:
    """Predict a label and the probability of each class for every row; without --out, print the first rows.

    A row that cannot be scored gets the reason instead of a label; all other rows are labelled. Run the same command
    again to resume an interrupted run.
    """
    if url is not None and (model is not None or encoder is not None or compile):
        raise CommandError(
            "--url has the service score the rows, with its own model; leave out --model, --encoder and --compile"
        )
    if out is not None:
        validate_suffix(out)
    with errors().status("reading the rows"):
        table = open_table(file)
    if out is not None and is_same(out, table.path):
        raise CommandError(f"--out {out} is the input file; name another")
    saved = Saved.read(prompt) if url is None else ServedPrompt.find(url, prompt, read_token(token_file))
    names = _new_columns(table, saved.label_texts)
    as_example = table.reader(saved.templates, text_column)
    output = None
    if out is not None:
        with errors().status("reading the rows"):
            purpose = _purpose(table, saved.checksum, text_column)
            output = ResumableOutput(out, table, names, purpose, restart=restart)
    counts = output.counts if output is not None else RowCounts()
    if output is not None and counts.rows:
        progress = f"resuming: {counts.rows:,} of {table.count:,} rows are labelled already, in "
        say(errors(), progress, plain(output.journal))
    score = _scorer(saved, counts.rows, model, encoder, compile=compile)
    windows = _results(score, table, as_example, counts.rows)
    if output is not None:
        _write(output, windows)
    else:
        first = _count(table, windows, counts)
        columns = saved.templates[0].fields if text_column is None else (text_column,)
        results().print(rich_table(_preview(table, first, columns, saved.label_texts, results())))
    # there are as many different choices as rows
    by_label = [f"{label} {counts.labels[label]:,}" for label in saved.label_texts] if not saved.answers_words else []
    say(
        results(),
        f"{counted(counts.labels.total(), 'row')} labelled",
        plain(f": {', '.join(by_label)}" if by_label else ""),
        *(("; written to ", plain(out, "bold")) if out is not None else ()),
    )
    warn_of_bad_rows(table, counts, "and have no label")


def _new_columns(table: Table, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the new columns; raise if the input has one of them."""
    names = ("predicted", *(f"probability_{label}" for label in labels), "error")
    for name in names:
        if name in table.columns:
            raise FileError(f"{table.path} has a column {name!r} already, which would be overwritten; rename it")
    return names


def _purpose(table: Table, checksum: str, text_column: str | None) -> dict[str, str | None]:
    """Facts that are equal when an interrupted run is resumed."""
    with table.path.open("rb") as file:
        content = file_digest(file, "sha256").hexdigest()
    return {
        "input": content,
        "prompt": checksum,
        "--text-column": text_column,
        "version of softcloze": version("softcloze"),
    }


def _scorer(
    saved: Saved | ServedPrompt, done: int, model: str | None, encoder: str | None, *, compile: bool
) -> "Score":
    """The function that predicts the rows after the first `done` ones: here, or by a service."""
    if isinstance(saved, ServedPrompt):
        return partial(saved.predict_rows, first=done)
    from softcloze.prompt.streaming import predict_rows

    return partial(predict_rows, saved.open(model, encoder, compile=compile))


def _results(score: "Score", table: Table, as_example: Callable[[Row], Row], done: int) -> "Generator[list[Result]]":
    """Score the rows after the first `done` ones, one window at a time."""
    lines = islice(table.lines(), done, None)
    examples = (line if isinstance(line, FileError) else as_example(line) for line in lines)
    with closing(label_rows(score(examples), table.count, done)) as windows:
        for window in windows:
            yield [_result(prediction) for prediction in window]


def _result(prediction: "Prediction") -> Result:
    if isinstance(prediction.example, FileError):  # a damaged line: its own error is more precise
        return Result(None, None, str(prediction.example))
    label = str(prediction.label) if prediction.error is None else None
    return Result(label, prediction.probabilities, prediction.error)


def _write(output: ResumableOutput, windows: "Generator[list[Result]]") -> None:
    """Save the results window by window, then write the output."""
    try:
        with closing(windows):
            for window in windows:
                output.append(window)
        output.finish()
    except (KeyboardInterrupt, ServiceError):
        say(errors(), f"interrupted: {output.counts.rows:,} rows are saved; run the same command again to resume")
        raise


def _count(table: Table, windows: "Generator[list[Result]]", counts: RowCounts) -> list[Result]:
    """Count all results, and return the first ones for the preview."""
    first: list[Result] = []
    for window in windows:
        first += window[: PREVIEW_ROWS - len(first)]
        for result in window:
            counts.add(result.label, result.error)
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
        Styled(result.label, "bold") if result.label is not None else Styled("no label", "red") for result in first
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
