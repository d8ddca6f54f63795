"""softcloze push: publish a saved prompt on a hub."""

from typing import Annotated

import typer

from softcloze.cli.console import plain, results, say
from softcloze.cli.saved import Saved
from softcloze.errors import CommandError


def push(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of a saved prompt, probe, ensemble or generator.")
    ],
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="Repository, created if it does not exist.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody read it; without, only you can.")] = False,
    tag: Annotated[str | None, typer.Option(help="A new tag for this commit, as in v1.")] = None,
    include_examples: Annotated[
        bool, typer.Option("--include-examples", help="Publish the demonstrations too: rows of the training data.")
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="A measured value for the model card; give it again for more."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Language of the texts, as in en; give it again for more."),
    ] = None,
    license: Annotated[str | None, typer.Option(metavar="CODE", help="Licence, as in apache-2.0.")] = None,
) -> None:
    """Publish a saved prompt on the Hugging Face hub, with a model card, in one commit.

    Log in once with: hf auth login. The location that is printed goes in the place of a folder into any command, as in
    softcloze predict reviews.csv --prompt hf://user/reviews@v1. The model is not published, only the prompt.
    """
    metrics = dict(map(_read_metric, metric if metric is not None else []))
    cards = Saved.read(folder)

    from softcloze.integrations.hub import push_to_hub

    location = push_to_hub(
        cards.folder,
        repository,
        private=not public,
        tag=tag,
        include_examples=include_examples,
        metrics=metrics,
        language=language if language is not None else (),
        license=license,
    )
    say(results(), plain(location, "bold"))


def _read_metric(given: str) -> tuple[str, float]:
    name, _, number = given.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        name = ""
    if not name:
        raise CommandError(f"--metric {given!r} is not of the form NAME=NUMBER, as in accuracy=0.91")
    return name, value
