"""softcloze serve: answer requests over HTTP with the prompts of a registry."""

import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from softcloze.cli.console import errors, plain, say
from softcloze.cli.options import TokenFileOption, read_token
from softcloze.cli.progress import open_backbone
from softcloze.errors import CommandError, SoftclozeError
from softcloze.files import explain_write_errors
from softcloze.formatting import quoted_list
from softcloze.prompt.card import PromptCard, quantised_options
from softcloze.prompt.generator_card import GeneratorCard
from softcloze.registry import Registry


def serve(
    registry: Annotated[
        Path, typer.Argument(metavar="REGISTRY", envvar="SOFTCLOZE_REGISTRY", help="Folder of the registry.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            envvar="SOFTCLOZE_MODEL", help="Name or path of the model; by default the one that all prompts name."
        ),
    ] = None,
    host: Annotated[str, typer.Option(envvar="SOFTCLOZE_HOST", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="SOFTCLOZE_PORT", min=0, max=65535, help="0 for any free one.")] = 8000,
    token_file: TokenFileOption = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            envvar="SOFTCLOZE_ALLOW_HOST",
            help="A name of this service, as in the header Host, without a port.",
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            envvar="SOFTCLOZE_ALLOW_ORIGIN",
            help="A site whose pages may call, as in https://a.example.",
        ),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Listen at another address than loopback without a token.")
    ] = False,
    max_batch_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="SOFTCLOZE_MAX_BATCH_TOKENS",
            help="Tokens of a batch; by default eight times the model's budget, if that takes at most half a second.",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, envvar="SOFTCLOZE_MAX_NEW_TOKENS", help="New tokens that a generator writes at most.")
    ] = 256,
    max_request_new_tokens: Annotated[
        int,
        typer.Option(
            min=1,
            envvar="SOFTCLOZE_MAX_REQUEST_NEW_TOKENS",
            help="New tokens of all texts of a request together, at most.",
        ),
    ] = 4096,
    max_body: Annotated[
        int, typer.Option(min=1, envvar="SOFTCLOZE_MAX_BODY", help="KiB that the body of a request may have.")
    ] = 256,
    prefix_memory: Annotated[
        int,
        typer.Option(
            min=0, envvar="SOFTCLOZE_PREFIX_MEMORY", help="MiB for the keys and values of what prompts begin with."
        ),
    ] = 64,
    max_wait: Annotated[
        float,
        typer.Option(envvar="SOFTCLOZE_MAX_WAIT", help="Seconds of queued work beyond which requests get 429."),
    ] = 10.0,
    deadline: Annotated[
        float,
        typer.Option(envvar="SOFTCLOZE_DEADLINE", help="Seconds after which a row or text that is not done gets 504."),
    ] = 30.0,
    label_studio_events: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="SOFTCLOZE_LABEL_STUDIO_EVENTS",
            help="File to record events of Label Studio in, one line of JSON each.",
        ),
    ] = None,
) -> None:
    """Answer requests with the prompts of a registry: POST /classify, POST /generate, a page at /, and /openapi.json.

    The aliases of the registry are read again every two seconds: `softcloze registry promote` changes what is served,
    and no request fails. SIGTERM ends the service when the rows and texts that wait are answered.

    softcloze serve prompts --port 8000
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise CommandError(
            f"softcloze serve needs {error.name}; install it with pip install 'softcloze[serve]'"
        ) from error
    from softcloze.service.settings import ServiceSettings, hosts_of, is_loopback

    token = read_token(token_file)
    if not is_loopback(host) and token is None and not open_to_all:
        raise CommandError(
            f"--host {host} lets other machines in; give a token by --token-file or SOFTCLOZE_TOKEN, or --open for none"
        )
    settings = ServiceSettings(
        token=token,
        hosts=hosts_of(host, allow_host or ()),
        origins=tuple(allow_origin or ()),
        max_body_bytes=max_body * 1024,
        max_batch_tokens=max_batch_tokens,
        max_new_tokens=max_new_tokens,
        max_request_new_tokens=max_request_new_tokens,
        prefix_memory=prefix_memory * 2**20,
        max_wait=max_wait,
        deadline=deadline,
        label_studio_events=label_studio_events,
    )
    if label_studio_events is not None:
        with explain_write_errors(label_studio_events):
            label_studio_events.open("a").close()
    opened = Registry(registry)
    name, options = _model_of(opened, model)

    from softcloze.service.process import prepare_process
    from softcloze.service.server import make_server
    from softcloze.service.service import Service

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    server = make_server(Service(opened, open_backbone(name, **options), settings), host, port)
    say(errors(), "serving ", plain(opened.folder, "bold"), " at ", plain(f"http://{host}:{port}"))
    prepare_process()
    server.run()


def _model_of(registry: Registry, model: str | None) -> tuple[str, dict[str, Any]]:
    """The model to load, which is given or the one that all prompts of a registry name, and options for it."""
    cards = [*_cards(registry)]
    names = sorted({card.model for card in cards})
    if model is None and not names:
        raise CommandError(
            f"no alias in {registry.folder} names a prompt; promote one, as in: softcloze registry promote "
            f"{registry.folder} NAME@1; or give --model, and promote prompts while the service runs"
        )
    if model is None and len(names) > 1:
        raise CommandError(
            f"the prompts in {registry.folder} have the models {quoted_list(names)}; give one as --model"
        )
    same = [card for card in cards if model in (None, card.model)] or (cards if len(names) == 1 else [])
    return model or names[0], quantised_options(same[0].entries["fingerprint"]) if same else {}


def _cards(registry: Registry) -> Iterator[PromptCard | GeneratorCard]:
    """The cards of all prompts that aliases name; those that cannot be read are the service's to report."""
    for reference in registry.state():
        with suppress(SoftclozeError):
            yield from registry.read(reference).on_backbones
