"""Rows of a file for `softcloze label`: their texts, and the labels that some have already."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softcloze.cli.console import errors, plain, say, warn
from softcloze.cli.delimited import Row
from softcloze.cli.fit_auto import texts_template
from softcloze.cli.input_files import Table
from softcloze.errors import CommandError, DataError, FieldError, FileError
from softcloze.formatting import counted, did_you_mean, is_missing, quoted_list
from softcloze.template import Template
from softcloze.verbalizer.labels import as_label

WRITTEN = ("labelled_by", "labelled_at", "chosen_as", "label_note", "other_label")  # columns beside the label
SHOWN = 5  # rows without a text that are named


@dataclass(frozen=True)
class LabelRows:
    """The rows of a file and the texts that they have.

    Attributes:
        table: the file.
        rows: all rows; empty mappings for damaged ones.
        texts: what is shown of each row that has a text: values by field.
        places: index of the row of each text.
        problems: index of each other row to the reason.
        given: index of a text to the label that its row has, as it stands there.
        text_column: column of the only field, if its name is another; None else.
        label_column: column for the labels.
    """

    table: Table
    rows: Sequence[Row]
    texts: Sequence[Row]
    places: Sequence[int]
    problems: dict[int, str]
    given: dict[int, object]
    text_column: str | None
    label_column: str

    def labels(self, known: Sequence[str], *, several: bool) -> dict[int, str | list[str]]:
        """The labels that rows have.

        Args:
            known: all labels; none if any is allowed.
            several: a row may have several labels, as a JSON list.

        Raises:
            FileError: a label is not among them, or is none; names the line.
        """
        found: dict[int, str | list[str]] = {}
        for index, value in self.given.items():
            try:
                labels = [str(as_label(one, "the row")) for one in _items(value, several=several)]
            except DataError as error:
                raise self.table.problem(self.places[index], error) from error
            for label in labels:
                if known and label not in known:
                    raise self.table.problem(
                        self.places[index],
                        f"label {label!r} is not one of {quoted_list(known)}{did_you_mean(label, known)}; mend it, or "
                        "add it to --labels",
                    )
            found[index] = labels if several else labels[0]
        return found


def read_rows(table: Table, columns: Sequence[str], template: Template | None, label_column: str) -> LabelRows:
    """Read all rows; those without a text are left out, with a warning.

    Args:
        table: the file.
        columns: columns of the texts, as given; none to find them.
        template: the template whose fields are shown; None for the columns alone.
        label_column: column of the labels, which the file may lack.

    Raises:
        CommandError: it is not clear which columns to show.
        FileError: a column is missing, the output would overwrite one, or fewer than two rows have a text.
    """
    for name in (*WRITTEN, "predicted", "error"):
        if name in table.columns:
            raise FileError(f"{table.source} has a column {name!r} already, which would be overwritten; rename it")
    if template is None:
        template, column = texts_template(table, columns, (label_column,))
    elif len(columns) > 1:
        raise CommandError("--text-column is given more than once, and a template names its columns by its fields")
    else:
        column = columns[0] if columns else None
    as_example = table.reader([template], column)
    rows, texts, places, problems, given = list[Row](), list[Row](), list[int](), dict[int, str](), dict[int, object]()
    for index, line in enumerate(table.lines()):
        rows.append({} if isinstance(line, FileError) else line)
        if isinstance(line, FileError):
            problems[index] = str(line)
            continue
        try:
            text = template.read_fields(as_example(line))
        except FieldError as error:
            problems[index] = str(error)
            continue
        if not any(str(value).strip() for value in text.values()):
            problems[index] = "the text is blank"
            continue
        label = line.get(label_column)
        if not is_missing(label) and str(label).strip():
            given[len(texts)] = label
        texts.append(text)
        places.append(index)
    if len(texts) < 2:
        first = f"; {_reason(table, next(iter(problems)), problems)}" if problems else ""
        raise FileError(f"{table.source} has {counted(len(texts), 'row')} with a text, expected two or more{first}")
    _warn_of(table, problems)
    renamed = column if column is not None and [*template.fields] != [column] else None
    return LabelRows(table, rows, texts, places, problems, given, renamed, label_column)


def folder_beside(table: Table, out: Path | None) -> Path:
    """The folder of a labelling: as given, or beside the file and named after it.

    Raises:
        CommandError: none is given, and the rows are from no file.
    """
    if out is not None:
        return out
    if table.source.is_temporary:
        raise CommandError(f"{table.source} is no file beside which a folder can be: name one with --out")
    path = table.source.path
    return path.with_name(f"{path.name.removesuffix('.gz').rsplit('.', 1)[0] or path.name}.labelling")


def _items(value: object, *, several: bool) -> list[object]:
    """The labels in a cell."""
    if several and isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise DataError(f"{value!r:.80} is not a JSON list of labels: {error}") from error
    return [*value] if several and isinstance(value, list) else [value]


def _warn_of(table: Table, problems: dict[int, str]) -> None:
    if not problems:
        return
    warn(f"{len(problems):,} of {counted(table.count, 'row')} have no text that can be labelled")
    for index in [*problems][:SHOWN]:
        say(errors(), "  ", plain(_reason(table, index, problems)))
    if len(problems) > SHOWN:
        say(errors(), f"  and {len(problems) - SHOWN:,} more")


def _reason(table: Table, index: int, problems: dict[int, str]) -> str:
    """The line of a row and its problem, which has the line already if the row is damaged."""
    name = f"{table.source}, "
    reason = problems[index]
    return reason.removeprefix(name) if reason.startswith(name) else f"{table.place(index)}: {reason}"
