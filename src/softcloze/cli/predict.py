"""softcloze predict: label the rows of a file with a saved prompt."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softcloze.cli.options import FileArgument, OtherModelOption, PromptOption, TextOption

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from softcloze.cli.rows import Row, Table
    from softcloze.cli.work import Scored

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
) -> None:
    """Label every row: its label and the probability of each class, in a file or, without --out, on the terminal.

    A row that cannot be encoded gets no label but the reason, and all others are labelled.
    """
    from softcloze.cli.console import plain, results, say
    from softcloze.cli.errors import CommandError
    from softcloze.cli.rows import check_suffix, read_table

    if out is not None:
        check_suffix(out)
        if out.exists() and file.exists() and out.samefile(file):
            raise CommandError(f"--out {out} is the file that is read; name another")
    table = read_table(file)

    from softcloze.cli.work import open_classifier, score_rows, warn_of
    from softcloze.cli.writing import write_rows
    from softcloze.prompt import Prompt

    saved = Prompt.load(prompt)
    names = _new_columns(table, tuple(map(str, saved.verbalizer.labels)))
    examples = table.examples(saved.template, text_column)
    scored = score_rows(open_classifier(prompt, model), examples)
    console = results()
    if out is None:
        console.print(_preview(table, scored, saved.template.fields if text_column is None else (text_column,)))
    else:
        write_rows(out, (*table.columns, *names), _labelled(table, scored, names))
    counts = Counter(label for label in scored.predicted if label is not None)
    say(
        console,
        f"{len(table.rows) - len(scored.problems):,} rows labelled: ",
        plain(", ".join(f"{label} {counts[label]:,}" for label in scored.labels)),
        *(("; written to ", plain(out, "bold")) if out is not None else ()),
    )
    warn_of(scored.problems, len(table.rows), "and have no label")


def _new_columns(table: "Table", labels: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns that are added; none may be taken."""
    from softcloze.cli.errors import FileError

    names = ("predicted", *(f"probability_{label}" for label in labels), "error")
    for name in names:
        if name in table.columns:
            raise FileError(f"{table.path} has a column {name!r} already, which would be written over; rename it")
    return names


def _labelled(table: "Table", scored: "Scored", names: tuple[str, ...]) -> "list[Row]":
    rows = []
    for number, row in enumerate(table.rows):
        problem = scored.problems.get(number)
        chances = [None if problem is not None else float(p) for p in scored.probabilities[number]]
        rows.append({**row, **dict(zip(names, (scored.predicted[number], *chances, problem), strict=True))})
    return rows


def _preview(table: "Table", scored: "Scored", columns: tuple[str, ...]) -> "RichTable":
    """The first rows with their labels."""
    from rich import box
    from rich.table import Table as RichTable

    from softcloze.cli.console import plain

    shown = RichTable(box=box.SIMPLE_HEAD)
    shown.add_column("row", justify="right", style="dim")
    for column in columns:
        shown.add_column(plain(column), overflow="ellipsis", no_wrap=True, ratio=1)
    widths = [plain(label).cell_len for label in scored.labels]
    shown.add_column("label", min_width=max(widths))
    for label, width in zip(scored.labels, widths, strict=True):
        shown.add_column(plain(label), justify="right", min_width=max(width, len("0.000")))
    for number, row in enumerate(table.rows[:SHOWN]):
        cells = [plain(str(row.get(column, ""))[:LONGEST]) for column in columns]
        if number in scored.problems:
            result = [plain("cannot be encoded", "red"), *(plain("") for _ in scored.labels)]
        else:
            result = [
                plain(scored.predicted[number], "bold"),
                *(plain(f"{chance:.3f}") for chance in scored.probabilities[number]),
            ]
        shown.add_row(str(number), *cells, *result)
    if len(table.rows) > SHOWN:
        shown.caption = f"the first {SHOWN} of {len(table.rows):,} rows; --out FILE writes all"
    return shown
