"""Options about free text that several commands share: the column of answers, and options of writing."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from softcloze.cli.input_files import Table
from softcloze.cli.options import read_escapes
from softcloze.errors import CommandError
from softcloze.formatting import quoted

ANSWERS = "answer"  # the column, unless another is named
AnswerOption = Annotated[
    str | None,
    typer.Option("--answer-column", metavar="NAME", help="Column with the answers, for a template with <answer>."),
]
WritingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of writing of transformers, as in max_new_tokens=60 or num_beams=4; may be repeated. The value "
        "is JSON, or else text.",
    ),
]


def read_options(given: Sequence[str] | None) -> dict[str, Any]:
    r"""Read options of writing, whose names and values are checked with the model.

    Raises:
        CommandError: an option without "=", or given twice.

    >>> read_options(["max_new_tokens=60", "do_sample=true", r"stop_strings=\n###"])
    {'max_new_tokens': 60, 'do_sample': True, 'stop_strings': '\n###'}
    """
    options: dict[str, Any] = {}
    for item in given if given is not None else ():
        name, equals, value = item.partition("=")
        if not equals:
            raise CommandError(f"--option takes NAME=VALUE, as in num_beams=4; found {item!r}")
        if name in options:
            raise CommandError(f"--option {name} is given twice")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = read_escapes(value)
    return options


def read_answers(table: Table, column: str) -> list[str]:
    """The answer of each row.

    Raises:
        FileError: the column is missing, a row is damaged, or an answer is no text; names the line.
    """
    return [_answer(table, index, value) for index, value in enumerate(_values(table, column))]


def read_references(table: Table, column: str) -> list[str | list[str]]:
    """One or several right answers of each row, several as a list of JSON.

    Raises:
        FileError: as `read_answers`, or an empty list; names the line.
    """
    rows: list[str | list[str]] = []
    for index, value in enumerate(_values(table, column)):
        if isinstance(value, list) and value:
            rows.append([_answer(table, index, one) for one in value])
        else:
            rows.append(_answer(table, index, value))
    return rows


def _values(table: Table, column: str) -> list[object]:
    column = table.find_column(column, hint=" (--answer-column names another)")
    return [row.get(column) for row in table.rows()]


def _answer(table: Table, index: int, value: object) -> str:
    if not isinstance(value, str):
        raise table.problem(index, f"the answer is {quoted(value)}; expected a text, which may be empty")
    return value
