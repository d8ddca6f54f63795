"""softcloze join: write the output of a run from the results of its shards."""

from collections.abc import Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.generate import COLUMNS
from softcloze.cli.input_files import Table
from softcloze.cli.input_identity import InputIdentity
from softcloze.cli.options import FileArgument
from softcloze.cli.output_files import writer_for
from softcloze.cli.predict import say_labelled
from softcloze.cli.progress import warn_of_bad_rows
from softcloze.cli.resumable import Header, RowCounts, labelled_rows, read_header, read_results
from softcloze.cli.row_run import open_rows
from softcloze.cli.shard import SUFFIX, Shard
from softcloze.cli.sources import STANDARD
from softcloze.errors import CommandError, FileError
from softcloze.files import expand_user, explain_write_errors, replacing_file
from softcloze.formatting import counted

SHARD = "--shard"
PROBABILITY = "probability_"
TEXT_COLUMNS = [*COLUMNS]


class Part(NamedTuple):
    """The journal of a shard.

    Attributes:
        path: the journal.
        shard: the shard.
        header: its first line.
    """

    path: Path
    shard: Shard
    header: Header

    @property
    def has_texts(self) -> bool:
        """True for texts, False for labels."""
        return self.header.names == TEXT_COLUMNS

    def rows(self, table: Table) -> range:
        """The rows of the table that belong to this part; raises as `Shard.rows`."""
        from softcloze.prompt.streaming import WINDOW, WRITING_WINDOW

        return self.shard.rows(table.count, WRITING_WINDOW if self.has_texts else WINDOW)


@takes_format
def join(
    file: FileArgument,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The --out of the shards: a .csv, .tsv, .jsonl or .parquet file.")
    ],
    shards: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SHARD]...", help="Results of all shards; by default those beside --out."),
    ] = None,
    format: FileFormat = PLAIN,
) -> None:
    """Write the rows of a file with their labels or texts from the results of predict --shard or generate --shard.

    The output is that of a run over all rows. It is written as a whole or not at all, and the results of the shards
    stay as they are.
    """
    if out == STANDARD:
        raise CommandError("join finds the shards beside the file of --out; name that file in place of -")
    table = open_rows(file, out, format, restart=False, in_parts=True)
    with errors().status("reading the shards"):
        parts = _read_parts(table, _find(expand_user(out)) if not shards else [*map(expand_user, shards)], out)
        counts = _count(table, parts, out)
    names = parts[0].header.names
    counts.validate(table)
    with errors().status("writing the rows"), explain_write_errors(out):
        write = writer_for(out, table, names)
        with replacing_file(out) as draft:
            write(draft, labelled_rows(table, names, chain.from_iterable(read_results(part.path) for part in parts)))
    where = f"written to {out} from {counted(len(parts), 'shard')}"
    if parts[0].has_texts:
        say(results(), f"{counted(counts.answered, 'text')} ", plain(where))
        warn_of_bad_rows(table, counts, "and have no text")
    else:
        labels = [*counts.labels] if sum(counts.labels.values()) == counts.answered else []
        say_labelled(counts, labels, f"; {where}", results())
        warn_of_bad_rows(table, counts, "and have no label")


def _find(out: Path) -> list[Path]:
    """The journals of shards beside an output."""
    with explain_write_errors(out):
        beside = [path for path in out.parent.iterdir() if path.name.startswith(f"{out.name}.")]
    return sorted(path for path in beside if "-of-" in path.name and path.name.endswith(SUFFIX))


def _read_parts(table: Table, paths: Sequence[Path], out: Path) -> list[Part]:
    """The parts of a table, in their order.

    Raises:
        CommandError: shards are missing, doubled, or of different runs.
        FileError: a file is no shard.
    """
    if not paths:
        raise CommandError(
            f"there are no shards beside {out}; softcloze predict or generate --shard 1/2 --out {out} makes one"
        )
    parts = sorted(map(_read_part, paths), key=lambda part: part.shard)
    first = parts[0]
    problems = []
    counts = {part.shard.of: part.path for part in parts}
    if len(counts) > 1:
        examples = " and ".join(f"of {count} ({path})" for count, path in sorted(counts.items()))
        problems.append(f"they are shards {examples}: remove those of one, or name the others")
    else:
        by_number = {number: [*same] for number, same in groupby(parts, lambda part: part.shard.number)}
        for number in range(1, first.shard.of + 1):
            match by_number.get(number, []):
                case []:
                    missing = Shard(number, first.shard.of)
                    problems.append(f"missing: {missing}, which would be {out}{missing.suffix}{SUFFIX}")
                case [_, *more]:
                    doubled = " and ".join(str(part.path) for part in by_number[number])
                    problems += [f"doubled: {first.shard._replace(number=number)} is in {doubled}"] if more else []
    identity = InputIdentity(table.source)
    for part in parts:
        if others := _differences(part, first, table, identity):
            problems.append(f"of another {' and another '.join(others)}: {part.path}")
    _validate(problems, out)
    return parts


def _differences(part: Part, first: Part, table: Table, identity: InputIdentity) -> list[str]:
    """The names of the facts by which a part belongs to another run than the first part and the table."""
    try:
        known = identity.facts(part.rows(table))
    except CommandError:  # the table has too few rows for that many parts
        return ["input"]
    purpose = {**first.header.purpose, **known}
    return [name for name, value in part.header.purpose.items() if name != SHARD and purpose.get(name) != value]


def _read_part(path: Path) -> Part:
    header = read_header(path)
    shard = header.purpose.get(SHARD) if header is not None else None
    if header is None or shard is None:
        reason = (
            "there is no such file" if not path.exists() else "neither predict --shard nor generate --shard wrote it"
        )
        raise FileError(f"{path} is not a shard: {reason}")
    return Part(path, Shard.parse(shard), header)


def _count(table: Table, parts: Sequence[Part], out: Path) -> RowCounts:
    """Count the rows of all shards.

    Raises:
        CommandError: a shard is unfinished; names all of them.
        FileError: a shard is damaged.
    """
    if parts[0].has_texts:
        counts = RowCounts(verb="answered")
    else:
        counts = RowCounts.of(name.removeprefix(PROBABILITY) for name in parts[0].header.names[1:-1])
    problems = []
    for part in parts:
        before, rows = counts.rows, len(part.rows(table))
        try:
            for result in read_results(part.path):
                counts.add(result.answer, result.error)
        except (ValueError, TypeError) as error:
            raise FileError(f"{part.path} is damaged: {error}; run its shard again with --restart") from error
        finished = counts.rows - before
        if finished > rows:
            raise FileError(f"{part.path} is damaged: it holds {finished:,} rows, the shard has {rows:,}")
        if finished < rows:
            problems.append(f"unfinished: {part.path} has {finished:,} of {rows:,} rows; run its command again")
    _validate(problems, out)
    return counts


def _validate(problems: Sequence[str], out: Path) -> None:
    if problems:
        raise CommandError("\n  ".join([f"{out} cannot be written from these shards:", *problems]))
