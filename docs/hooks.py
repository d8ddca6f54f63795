"""Pages of the site that are made from the code when it is built: one a package, and the options of each command."""

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import softcloze
from softcloze.cli import app

SRC = Path(softcloze.__file__).parent
COMMANDS = "<!-- commands -->"
NAMES = "<!-- names -->"
PACKAGES = sorted(
    path.stem
    for path in SRC.iterdir()
    if (path.is_dir() or path.suffix == ".py") and path.stem[0] not in "_." and path.stem != "cli"
)
CODE_IN_A_ROW = re.compile(r"(?<=`)[^`\n]*(?=`)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the packages to the section of the navigation whose first page is the overview of the Python interface."""
    _python_section(config.nav or []).extend({name: f"reference/api/{name}.md"} for name in PACKAGES)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each package, which mkdocstrings fills from its docstrings."""
    for name in PACKAGES:
        files.append(File.generated(config, f"reference/api/{name}.md", content=f"# {name}\n\n::: softcloze.{name}\n"))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the options of the commands, and the names that `softcloze` exports."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n".join(_commands()))
    if NAMES in markdown:
        markdown = markdown.replace(NAMES, "\n".join(_names()))
    return "\n".join(_row(line) if line.startswith("|") else line for line in markdown.split("\n"))


def _row(line: str) -> str:
    """Return a row of a table with the bars in its code as they are: here, unlike on GitHub, they do not end a cell."""
    return CODE_IN_A_ROW.sub(lambda code: code[0].replace(r"\|", "|"), line)


def _python_section(nav: list) -> list:
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else ():
            if isinstance(value, list):
                if {"Overview": "reference/api/index.md"} in value:
                    return value
                if section := _python_section(value):
                    return section
    return []


def _names() -> Iterator[str]:
    yield "| name | |"
    yield "| --- | --- |"
    for name in sorted(softcloze.__all__, key=str.casefold):
        thing = getattr(softcloze, name)
        if hasattr(thing, "__module__"):
            package = thing.__module__.split(".")[1]
            summary = (thing.__doc__ or "").strip().splitlines()[0]
            yield f"| [`{name}`]({package}.md#softcloze.{package}.{name}) | {summary} |"


def _commands() -> Iterator[str]:
    yield from _commands_of(typer.Context(typer.main.get_command(app), info_name="softcloze"))


def _commands_of(context: typer.Context, prefix: str = "") -> Iterator[str]:
    group = context.command
    for name in group.list_commands(context):
        inside = group.get_command(context, name).make_context(name, [], parent=context, resilient_parsing=True)
        command = inside.command  # with its options: the group has commands that are imported when they run
        if hasattr(command, "list_commands"):
            yield from _commands_of(inside, f"{prefix}{name} ")
            continue
        yield f"## {prefix}{name}\n\n{_plain(cleandoc(command.help))}\n"
        yield "| argument or option | |\n| --- | --- |"
        for parameter in command.get_params(inside):
            usage, meaning = parameter.get_help_record(inside)
            yield "| `{}` | {} |".format(usage, _plain(meaning).replace("|", r"\|"))
        yield ""


def _plain(text: str) -> str:
    """Return the text as Markdown that shows its tags."""
    return text.replace("<", "&lt;").replace("\b\n", "")
