"""The command line: its commands, imported when they run, and the messages of their errors."""

import sys
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from softcloze.errors import SoftclozeError

SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # panels around the help would cost a third of its time
}


COMMANDS = {  # name of a module and of the function in it: summary
    "fit": "Train a prompt on labelled rows and save it.",
    "predict": "Label every row of a file with a saved prompt.",
    "evaluate": "Measure a saved prompt on labelled rows.",
    "compare": "Compare prompts and baselines on the same rows.",
    "label-words": "Find label words by labelled rows.",
    "inspect": "Show a template, and an example token by token.",
    "inspect-prompt": "Show the vectors of a trained soft prompt.",
    "lint": "Check templates and label words for mistakes.",
    "models": "List or download starter models and data sets.",
    "templates": "List the templates of the library, or show one.",
}

app = typer.Typer(name="softcloze", no_args_is_help=True, **SETTINGS)


class LazyCommand(TyperCommand):
    """A command that is imported when it runs or its own help is shown."""

    def make_context(self, info_name: str | None, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in click
        """Parse arguments with the parameters of the command's function."""
        name = str(info_name).replace("-", "_")
        function = getattr(import_module(f"softcloze.cli.{name}"), name)
        command = typer.Typer(**SETTINGS)
        command.command(info_name)(function)
        return get_command(command).make_context(info_name, *args, **kwargs)


for _name, _summary in COMMANDS.items():
    app.command(_name, cls=LazyCommand, help=_summary)(lambda: None)


def main() -> None:
    """Run the command that the arguments name; an error of softcloze becomes one message and exit code 2."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals that lack a character
    try:
        app()
    except SoftclozeError as error:
        from softcloze.cli.console import errors  # rich would slow `softcloze --help` down

        console = errors()
        console.print("error: ", style="bold red", end="")
        console.out(str(error), highlight=False)  # verbatim: carets must stay under what they point at
        sys.exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("softcloze"))
        raise typer.Exit


@app.callback()
def _softcloze(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Classify text with a frozen language model, a template, label words and soft prompts."""
