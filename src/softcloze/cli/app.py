"""The commands put together, and what becomes of their errors."""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from softcloze.cli.compare import compare
from softcloze.cli.evaluate import evaluate
from softcloze.cli.fit import fit
from softcloze.cli.inspect import inspect
from softcloze.cli.label_words import words
from softcloze.cli.lint import lint
from softcloze.cli.models import models
from softcloze.cli.predict import predict
from softcloze.cli.soft_prompt import look
from softcloze.cli.templates import templates
from softcloze.errors import SoftclozeError

app = typer.Typer(
    name="softcloze",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels around the help would cost a third of its time
)

for command in (fit, predict, evaluate, compare, words, inspect, look, lint, models, templates):
    app.command()(command)


def main() -> None:
    """Run the command that the arguments name; errors of ours become one message and exit code 2."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    try:
        app()
    except SoftclozeError as error:
        from softcloze.cli.console import errors

        console = errors()
        console.print("error: ", style="bold red", end="")
        console.out(str(error), highlight=False)  # verbatim: carets must stay under what they point at
        sys.exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("softcloze"))
        raise typer.Exit


@app.callback()
def _softcloze(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Classify text with a frozen language model, a template, label words and soft prompts."""
