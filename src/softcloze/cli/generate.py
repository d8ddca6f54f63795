"""softcloze generate: write a text for each row of a file, or for one example."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softcloze.cli.answers import WritingOption, read_options
from softcloze.cli.console import errors, plain, results, say, visible
from softcloze.cli.delimited import Row
from softcloze.cli.example import ExampleTextOption, FieldOption, read_example
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.options import FILE_HELP, OUT_HELP, OtherModelOption, TextOption, TokenFileOption, read_token
from softcloze.cli.progress import warn_of_bad_rows
from softcloze.cli.resumable import Result, RowCounts
from softcloze.cli.row_run import open_rows, print_results, resume_output, run_rows, validate_new_columns, write_results
from softcloze.cli.saved import Saved, read_generator
from softcloze.cli.served import fields_of_row
from softcloze.cli.served_generator import ServedGenerator
from softcloze.cli.shard import Shard
from softcloze.cli.sources import STANDARD
from softcloze.errors import CommandError
from softcloze.formatting import counted

if TYPE_CHECKING:
    from softcloze.prompt import BoundGenerator
    from softcloze.prompt.streaming import WrittenRow

COLUMNS = ("written", "error")


@takes_format
def generate(
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt",
            metavar="FOLDER",
            help="Folder of a saved prompt that writes; with --url the name of a generator of the service, as in "
            "summaries or summaries@3.",
        ),
    ],
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help=f"{FILE_HELP} Or give --text.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help=OUT_HELP),
    ] = None,
    text: ExampleTextOption = None,
    field: FieldOption = None,
    text_column: TextOption = None,
    option: WritingOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of texts that are drawn, with --option do_sample=true.")] = 0,
    model: OtherModelOption = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="A service that writes the texts, as in http://127.0.0.1:8000."),
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
            help="Write for the k-th of n parts of the rows, as in 3/16; softcloze join writes --out when all are "
            "done.",
        ),
    ] = None,
    format: FileFormat = PLAIN,
) -> None:
    """Write a text for each row of FILE with a saved prompt; with --text or --field in place of FILE, for one example.

    The output has the columns "written" and "error". A row that cannot be encoded gets the reason instead of a text;
    all other rows get one. Run the same command again to resume an interrupted run. Texts are written with the options
    that the prompt was saved with, greedily if there are none; --option changes them.
    """
    is_single = text is not None or bool(field)
    if is_single == (file is not None):
        raise CommandError("generate writes for the rows of a FILE, or for one example in --text or --field: give one")
    for name, given in {
        "--out": out,
        "--text-column": text_column,
        "--restart": restart or None,
        "--shard": shard,
    }.items():
        if is_single and given is not None:
            raise CommandError(f"{name} is for the rows of a FILE; leave it out with --text and --field")
    options = read_options(option)
    if url is not None and (model is not None or seed or options.keys() - {"max_new_tokens"}):
        raise CommandError(
            "--url has the service write the texts, with its own model and the options of its version; leave out "
            "--model, --seed and every --option but max_new_tokens"
        )
    served = ServedGenerator.find(url, prompt, read_token(token_file)) if url is not None and file is None else None
    if served is not None:
        example = read_example(served.template, text, field)
        with served.client as client:
            _print(client.stream(fields_of_row(example, served.fields), served.name, options.get("max_new_tokens")))
        return
    if file is None:
        saved = read_generator(prompt)
        example = read_example(saved.templates[0], text, field)
        changed = saved.options(options)
        _print_text(saved.open_writer(model), example, changed, seed)
        return
    if out is None:
        raise CommandError("the rows of a FILE need a file for their texts: name it with --out")
    part = Shard.of_output(shard, out)
    table = open_rows(file, out, format, restart=restart, in_parts=part is not None)
    source = read_generator(prompt) if url is None else ServedGenerator.find(url, prompt, read_token(token_file))
    validate_new_columns(table, COLUMNS)
    as_example = table.reader(source.templates, text_column)
    from softcloze.prompt.streaming import WRITING_WINDOW, write_rows

    rows = range(table.count) if part is None else part.rows(table.count, WRITING_WINDOW)
    table = table.part(rows)
    counts = RowCounts(verb="answered")
    purpose = {
        "prompt": source.checksum,
        "--text-column": text_column,
        "--option": json.dumps(options, sort_keys=True),
        "--seed": str(seed),
    }
    changed = source.options(options) if isinstance(source, Saved) else options
    output = None
    if out != STANDARD:
        output = resume_output(out, table, COLUMNS, purpose, counts, restart=restart, shard=part)
    first = rows.start + counts.rows
    process: Callable[[Iterator[Any]], Iterator[WrittenRow]]
    if counts.rows == table.count:
        process = iter
    elif isinstance(source, Saved):
        process = partial(write_rows, source.open_writer(model), options=changed, seed=seed, first=first)
        if output is not None:
            process = partial(process, kept=output.kept, keep=output.keep)
    else:
        process = partial(source.write_rows, max_new_tokens=options.get("max_new_tokens"), first=first)
    windows = run_rows(
        process, table, as_example, _result, done=counts.rows, work="writing texts", window=WRITING_WINDOW
    )
    if output is None:
        print_results(table, windows, COLUMNS, counts)
        say(errors(), f"{counted(counts.answered, 'text')} written")
    else:
        write_results(output, windows)
        if part is None:
            say(results(), f"{counted(counts.answered, 'text')} written to ", plain(out, "bold"))
        else:
            say(results(), f"{counted(counts.answered, 'text')} written; ", plain(part.kept_in(output.journal)))
    warn_of_bad_rows(table, counts, "and have no text")


def _result(row: "WrittenRow") -> Result:
    return Result(row.text, (), row.error)


def _print_text(bound: "BoundGenerator", example: Row, options: Mapping[str, Any], seed: int) -> None:
    """Write the text of one example to the standard output, piece by piece unless several beams find it as a whole."""
    if options.get("num_beams", 1) > 1:
        pieces: Iterator[str] = iter(bound.write([example], options, seed))
    else:
        pieces = bound.stream(example, options, seed)
    _print(pieces)


def _print(pieces: Iterator[str]) -> None:
    """Write the pieces of a text to the standard output."""
    for piece in pieces:
        sys.stdout.write(visible(piece) if sys.stdout.isatty() else piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
