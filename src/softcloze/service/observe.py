"""Count and time requests, and answer those that raise."""

import asyncio
import logging
import time
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softcloze.service.answers import failure
from softcloze.service.metrics import Metrics

LOG = logging.getLogger("softcloze.service")


class Observe:
    """ASGI middleware that counts requests by the pattern of their route, never by their path.

    An exception that nothing else catches is answered with 500, and logged by its type and place: uvicorn would log its
    message, which may quote a text. A request that the server cancels, since it ends and the time for draining is over,
    is answered with 503.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status: int | None = None

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except Exception as error:  # noqa: BLE001 - the request has its answer, and the service goes on
            LOG.error("a request failed: %s", type_and_place(error))
            if status is None:
                await failure(500, "internal", "the request failed")(scope, receive, send_counted)
        except asyncio.CancelledError:
            if status is not None:
                raise
            await failure(503, "stopping", "the service has ended")(scope, receive, send_counted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count_request(route, status or 500, time.perf_counter() - started)


def type_and_place(error: BaseException) -> str:
    """The type of an exception and the line that raised it, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__
