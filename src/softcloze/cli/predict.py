"""softcloze predict: label the rows of a file with a saved prompt."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from hashlib import file_digest, sha256
from importlib.metadata import version
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table as RichTable

from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.input_files import Row, Table, check_suffix, open_table
from softcloze.cli.options import FileArgument, OtherModelOption, PromptOption, TextOption
from softcloze.cli.output_files import format_of
from softcloze.cli.progress import label_rows, open_prompt, warn_of_bad_rows
from softcloze.cli.resumable import RowCounts, Run
from softcloze.errors import CommandError, FileError
from softcloze.prompt.card import CARD, PromptCard

if TYPE_CHECKING:
    from softcloze.prompt import BoundPrompt


SHOWN = 10  # rows of the table on the terminal
LONGEST = 300  # characters of a value shown there


def predict(
    file: FileArgument,
    prompt: PromptOption,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write all rows: a .csv, .tsv, .jsonl or .parquet file."),
    ] = None,
    text_column: TextOption = None,
    model: OtherModelOption = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an interrupted run has done, and begin anew.")
    ] = False,
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Have torch compile the model: half a minute, and then faster for many rows."),
    ] = False,
) -> None:
    """Label every row: its label and the probability of each class, in a file or, without --out, on the terminal.

    A row that cannot be encoded gets no label but the reason, and all others are labelled. A run that was
    interrupted goes on where it was when the same command is given again.
    """
    if out is not None:
        check_suffix(out)
        if out.exists() and file.exists() and out.samefile(file):
            raise CommandError(f"--out {out} is the file that is read; name another")
    with errors().status("reading the rows"):
        table = open_table(file)

    saved = PromptCard.load(prompt)
    labels = tuple(map(str, saved.verbalizer.labels))
    names = _new_columns(table, labels)
    as_example = table.reader(saved.template, text_column)
    run = None if out is None else _open_run(out, table, names, prompt, text_column, restart)
    counts = run.counts if run is not None else RowCounts()
    rows = _labelled(open_prompt(prompt, model, compile=compile), table, as_example, names, counts.rows)
    if run is not None:
        _write(run, rows)
    else:
        columns = saved.template.fields if text_column is None else (text_column,)
        results().print(_preview(_tallied(rows, counts), columns, labels, table.count))
    say(
        results(),
        f"{counts.labels.total():,} rows labelled: ",
        plain(", ".join(f"{label} {counts.labels[label]:,}" for label in labels)),
        *(("; written to ", plain(out, "bold")) if out is not None else ()),
    )
    warn_of_bad_rows(counts, "and have no label")


def _new_columns(table: "Table", labels: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns that are added; none may be taken."""
    names = ("predicted", *(f"probability_{label}" for label in labels), "error")
    for name in names:
        if name in table.columns:
            raise FileError(f"{table.path} has a column {name!r} already, which would be written over; rename it")
    return names


def _open_run(
    out: Path, table: "Table", names: Sequence[str], prompt: Path, text_column: str | None, restart: bool
) -> "Run":
    """A run that has not begun, or the same one that was interrupted."""
    with errors().status("reading the rows"):
        form = format_of(out, table, names)
        with table.path.open("rb") as file:
            content = file_digest(file, "sha256").hexdigest()
    purpose = {
        "input": content,
        "prompt": sha256((prompt.expanduser() / CARD).read_bytes()).hexdigest(),
        "--text-column": text_column,
        "version of softcloze": version("softcloze"),
    }
    run = Run(out, form, purpose, restart=restart)
    if run.counts.rows:
        done = f"going on: {run.counts.rows:,} of {table.count:,} rows are labelled already, in "
        say(errors(), done, plain(run.folder))
    return run


def _labelled(
    bound: "BoundPrompt",
    table: "Table",
    as_example: "Callable[[Row], Row]",
    names: Sequence[str],
    done: int,
) -> "Generator[list[Row]]":
    """The rows behind the first `done` ones with what was found, a window at a time."""
    lines, ahead = tee(islice(table.lines(), done, None))
    # a damaged row is no example, which `predict_stream` says; the line itself says it better
    examples = (line if isinstance(line, FileError) else as_example(line) for line in ahead)
    with closing(label_rows(bound, examples, table.count, done)) as windows:
        for window in windows:
            rows = []
            for found, line in zip(window, lines, strict=False):
                row, error = ({}, str(line)) if isinstance(line, FileError) else (line, found.error)
                label = None if error is not None else str(found.label)
                chances = found.probabilities if found.probabilities is not None else [None] * (len(names) - 2)
                rows.append({**row, **dict(zip(names, (label, *chances, error), strict=True))})
            yield rows


def _write(run: "Run", windows: "Generator[list[Row]]") -> None:
    """Write all rows; whoever interrupts that is told how to go on."""
    try:
        with closing(windows):
            for rows in windows:
                run.write(rows)
            run.finish()
    except KeyboardInterrupt:
        say(errors(), f"interrupted: {run.counts.rows:,} rows are safe; the same command goes on with the next")
        raise


def _tallied(windows: "Generator[list[Row]]", counts: "RowCounts") -> "list[Row]":
    """The first rows; all are counted."""
    first: list[Row] = []
    for rows in windows:
        first += rows[: SHOWN - len(first)]
        for row in rows:
            counts.add(row["predicted"], row["error"])
    counts.validate()
    return first


def _preview(rows: "Sequence[Row]", columns: Sequence[str], labels: Sequence[str], count: int) -> "RichTable":
    """The first rows with their labels."""
    shown = RichTable(box=box.SIMPLE_HEAD)
    shown.add_column("row", justify="right", style="dim")
    for column in columns:
        shown.add_column(plain(column), overflow="ellipsis", no_wrap=True, ratio=1)
    widths = [plain(label).cell_len for label in labels]
    shown.add_column("label", min_width=max(widths))
    for label, width in zip(labels, widths, strict=True):
        shown.add_column(plain(label), justify="right", min_width=max(width, len("0.000")))
    for number, row in enumerate(rows):
        cells = [plain(str(row.get(column, ""))[:LONGEST]) for column in columns]
        if row["error"] is not None:
            result = [plain("cannot be encoded", "red"), *(plain("") for _ in labels)]
        else:
            chances = (plain(f"{row[f'probability_{label}']:.3f}") for label in labels)
            result = [plain(row["predicted"], "bold"), *chances]
        shown.add_row(str(number), *cells, *result)
    if count > SHOWN:
        shown.caption = f"the first {SHOWN} of {count:,} rows; --out FILE writes all"
    return shown
