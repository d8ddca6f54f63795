"""The protection that every application of the service has: hosts, token, sizes, errors without text, no telemetry."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware

from softcloze.service.guard import Guard
from softcloze.service.hosts import KnownHosts
from softcloze.service.metrics import Metrics
from softcloze.service.observe import Observe
from softcloze.service.router import ServiceRoute, http_failure
from softcloze.service.settings import ServiceSettings

# pages of documentation would load scripts from elsewhere, and telemetry would send messages of errors
PRIVATE: dict[str, Any] = {
    "docs_url": None,
    "redoc_url": None,
    "telemetry": {"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
}


def protect(
    app: FastAPI,
    settings: ServiceSettings,
    metrics: Metrics,
    *,
    origins: Sequence[str] = (),
    refuse: Callable[[str], Response | None] = lambda _: None,
) -> None:
    """Protect an application that was made with `PRIVATE`; call it before routes are added.

    Args:
        app: the application.
        settings: token, names of the host, and limit of a body.
        metrics: of the requests.
        origins: other origins whose pages may call.
        refuse: the answer to requests of a path that would be turned away whatever they are; None if they are welcome.
    """
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_bytes)
    app.add_middleware(
        Guard, token=settings.token, origins=origins, max_body_bytes=settings.max_body_bytes, refuse=refuse
    )
    if origins:  # before the guard: browsers ask without the token whether they may call
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    app.add_middleware(KnownHosts, hosts=settings.hosts)
    app.add_middleware(Observe, metrics=metrics)

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> Response:
        return http_failure(error)

    app.router.route_class = ServiceRoute
