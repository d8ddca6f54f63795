"""Options of reading rows, which every command with a file of rows has."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any

import typer

from softcloze.cli.file_format import FileFormat, Kind, Quoting
from softcloze.cli.options import read_escapes
from softcloze.errors import CommandError
from softcloze.formatting import quoted


def read_format(
    format: Annotated[
        Kind | None,
        typer.Option(
            "--format",
            help="Kind of the rows, if the ending of FILE does not say it; needed for standard input.",
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter",
            metavar="CHAR",
            help=r"Character between the values of CSV, as in ';' or '\t'; by default , or a tab.",
        ),
    ] = None,
    encoding: Annotated[
        str, typer.Option("--encoding", metavar="NAME", help="Encoding of the text, as in gbk or utf-16.")
    ] = "utf-8",
    no_header: Annotated[
        bool,
        typer.Option("--no-header", help="The first line of CSV is a row; the columns are 1, 2 and so on."),
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", metavar="NAMES", help="Names of the columns of CSV without a header, as in text,label."
        ),
    ] = None,
    quoting: Annotated[
        Quoting,
        typer.Option("--quoting", help="Quotes in CSV: standard (around values) or none (characters like others)."),
    ] = "standard",
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Split of a data set, for FILE hf:NAME or its folder.")
    ] = None,
) -> FileFormat:
    r"""Read the options of a file of rows.

    Raises:
        CommandError: a delimiter of several characters, an unknown encoding, or names that are blank or repeated.

    >>> read_format(delimiter=r"\t", columns="text, label").columns
    ('text', 'label')
    """
    delimiter = read_escapes(delimiter)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"\0'):
        raise CommandError(f"--delimiter is {quoted(delimiter)}; expected one character, as in ';' or '\\t'")
    _validate_encoding(encoding)
    names = None if columns is None else tuple(name.strip() for name in columns.split(","))
    if names is not None and ("" in names or len({*names}) < len(names)):
        raise CommandError(f"--columns is {quoted(columns)}; expected different names with commas between")
    return FileFormat(format, delimiter, encoding, names, not no_header and names is None, quoting, split)


def _validate_encoding(name: str) -> None:
    try:
        "text".encode(name).decode(name)  # not every codec is of text
    except (LookupError, UnicodeError, ValueError) as error:
        raise CommandError(
            f"--encoding is {quoted(name)}, which Python does not know for text; "
            "expected a name such as utf-8, gbk, gb18030, utf-16, cp1252 or shift_jis"
        ) from error


FORMAT_OPTIONS = tuple(signature(read_format).parameters)


def takes_format(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `read_format` in place of its parameter `format`."""

    @wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - the arguments of the command
        options = {name: given.pop(name) for name in FORMAT_OPTIONS}
        command(**given, format=read_format(**options))

    parameters_before = [one for name, one in signature(command).parameters.items() if name != "format"]
    options = signature(read_format).parameters.values()
    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in (*parameters_before, *options)]
    run.__signature__ = signature(command).replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
