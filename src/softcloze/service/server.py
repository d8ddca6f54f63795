"""Run the service until a signal ends it."""

from types import FrameType

import uvicorn
from fastapi import FastAPI

from softcloze.service.app import create_app
from softcloze.service.connection import timed_protocol
from softcloze.service.service import Service

_CONNECTIONS = 2048


class Server(uvicorn.Server):
    """A server that turns new rows away as soon as it is asked to end, and then ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._service.begin_drain()


def make_server(service: Service, host: str, port: int) -> Server:
    """Make a server for a service; `run` listens until SIGTERM or SIGINT.

    Args:
        service: the service.
        host: address to listen at.
        port: 0 for any that is free.
    """
    settings = service.settings
    app: FastAPI = create_app(service)
    config = uvicorn.Config(
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
    return Server(config, service)
