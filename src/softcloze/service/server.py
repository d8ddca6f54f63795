"""Run the service until a signal ends it."""

from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from softcloze.service.app import create_app
from softcloze.service.connection import timed_protocol
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings

_CONNECTIONS = 2048


class Server(uvicorn.Server):
    """A server that ends with exit code 0 when it is asked to end, and does something as soon as it is."""

    def __init__(self, config: uvicorn.Config, begin_exit: Callable[[], object] | None = None):
        super().__init__(config)
        self._begin_exit = begin_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second signal ends at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        if self._begin_exit is not None:
            self._begin_exit()


def make_server(service: Service, host: str, port: int) -> Server:
    """Make a server for a service; `run` listens until SIGTERM or SIGINT.

    Args:
        service: the service.
        host: address to listen at.
        port: 0 for any that is free.
    """
    config = configure(create_app(service), host, port, service.settings)
    return Server(config, service.begin_drain)


def configure(app: FastAPI, host: str, port: int, settings: ServiceSettings) -> uvicorn.Config:
    """The configuration of a server that logs no request and waits for none that does not arrive."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=timed_protocol(settings.receive_seconds),
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,  # paths may be anything; the service logs its rows itself
        log_config=None,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=round(settings.drain_seconds),
    )
