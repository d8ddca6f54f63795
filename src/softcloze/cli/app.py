"""The command line: its commands, imported when they run, and the messages of their errors."""

import os
import sys
import warnings
from contextlib import suppress
from errno import EBADF, EDQUOT, EIO, ENOSPC, EPIPE
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from logging import ERROR, getLogger
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


OUTPUT_ERRORS = (EBADF, EDQUOT, EIO, ENOSPC, EPIPE)  # of writing to a stream; errors of files have a name
ON_IMPORT = ("torchao", "torch.utils._pytree", "bitsandbytes")  # loggers of messages that say nothing to a user
COMMANDS = {  # name of a module and of the function in it: summary
    "fit": "Train a prompt on rows with labels or answers and save it.",
    "predict": "Label every row of a file with a saved prompt.",
    "join": "Write the output of a run from the results of its shards.",
    "generate": "Write a text for every row of a file with a saved prompt.",
    "evaluate": "Measure a saved prompt on rows with labels or answers.",
    "compare": "Compare prompts and baselines on the same rows.",
    "label": "Label rows on a page or in the terminal, and predict the rest.",
    "label-words": "Find label words by labelled rows.",
    "serve": "Answer requests over HTTP with the prompts of a registry.",
    "inspect": "Show a template, and an example token by token.",
    "inspect-prompt": "Show the vectors of a trained soft prompt.",
    "export-peft": "Write a saved prompt as an adapter of PEFT.",
    "import-peft": "Save an adapter that PEFT trained as a prompt.",
    "push": "Publish a saved prompt on a hub.",
    "lint": "Check templates and label words for mistakes.",
    "models": "List or download starter models and data sets.",
    "templates": "List the templates of the library, or show one.",
}
REGISTRY = {  # the same for commands after "registry", whose functions are in one module
    "add": "Add a saved prompt as a new version.",
    "list": "List the prompts, or the versions and the history of one.",
    "promote": "Let an alias name another version.",
    "rollback": "Let an alias name the version before.",
    "remove": "Remove a version or an alias.",
    "check": "Check every version, alias and history.",
}

app = typer.Typer(name="softcloze", no_args_is_help=True, **SETTINGS)
registry = typer.Typer(name="registry", no_args_is_help=True, help="Keep versions of prompts in a folder.", **SETTINGS)


class LazyCommand(TyperCommand):
    """A command that is imported when it runs or its own help is shown."""

    group = ""  # that the command is in

    def make_context(self, info_name: str | None, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in click
        """Parse arguments with the parameters of the command's function."""
        name = "_".join(filter(None, (self.group, str(info_name).replace("-", "_"))))
        function = getattr(import_module(f"softcloze.cli.{self.group or name}"), name)
        command = typer.Typer(**SETTINGS)
        command.command(info_name)(function)
        try:
            return get_command(command).make_context(info_name, *args, **kwargs)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # of pydantic
            raise


class LazyRegistryCommand(LazyCommand):
    """A command after "registry"."""

    group = "registry"


for _name, _summary in COMMANDS.items():
    app.command(_name, cls=LazyCommand, help=_summary)(lambda: None)
for _name, _summary in REGISTRY.items():
    registry.command(_name, cls=LazyRegistryCommand, help=_summary)(lambda: None)
app.add_typer(registry)


def main() -> None:
    """Run the command that the arguments name.

    An error of softcloze becomes one message and exit code 2. A reader that closes the pipe of the output, as `head`
    does, ends the command with 141, as the signal SIGPIPE would.
    """
    _prepare_streams()
    for name in ON_IMPORT:
        getLogger(name).setLevel(ERROR)
    warnings.showwarning = _show_warning
    try:
        code = _run()
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in OUTPUT_ERRORS:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go
        code = 141
        if error.errno != EPIPE:
            code = 2
            _print_error(f"cannot write the output: {error.strerror}")
    sys.exit(code)


def _run() -> str | int | None:
    """Run the command and return its exit code."""
    try:
        app()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # for which typer has the code 1
            raise stop.__context__ from None
        return stop.code
    except SoftclozeError as error:
        _print_error(str(error))
        return 2
    return 0


def _print_error(message: str) -> None:
    from softcloze.cli.console import errors  # rich would slow `softcloze --help` down

    console = errors()
    console.print("error: ", style="bold red", end="")
    console.out(message, highlight=False)  # verbatim: carets must stay under what they point at


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one line."""
    from softcloze.cli.console import warn

    warn(message)


class _Messages(TextIOWrapper):
    """The error stream; a message that cannot be written is lost, but not the work that it is about."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _prepare_streams() -> None:
    """Open the null device for closed streams, whose numbers the next files would get; let no message raise."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole run
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals that lack a character
    if type(sys.stderr) is TextIOWrapper:
        encoding = sys.stderr.encoding
        sys.stderr = _Messages(sys.stderr.detach(), encoding, "backslashreplace", line_buffering=True)


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
