"""The application of the service: its routes, its page, and what guards them."""

from functools import partial
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from softcloze.service.batcher import OverloadedError
from softcloze.service.guard import Guard
from softcloze.service.observe import Observe
from softcloze.service.page import add_page
from softcloze.service.router import FAILURES, ServiceRoute, add_routes, http_failure, lifespan_of, overloaded, stopping
from softcloze.service.service import Service, UnavailableError
from softcloze.service.write_page import add_write_page


def create_app(service: Service) -> FastAPI:
    """Make the application of a service.

    Args:
        service: started and stopped with the application.

    Returns:
        An ASGI application. It has no pages of documentation, which would load scripts from elsewhere; its OpenAPI
        description is at /openapi.json. Telemetry of FastAPI is off.
    """
    settings = service.settings
    app = FastAPI(
        title="softcloze",
        description="Classify texts, and write texts, by prompts on one frozen language model.",
        version=version("softcloze"),
        lifespan=lifespan_of(service),
        docs_url=None,
        redoc_url=None,
        responses=FAILURES,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_bytes)
    app.add_middleware(
        Guard,
        token=settings.token,
        origins=settings.origins,
        max_body_bytes=settings.max_body_bytes,
        refuse=partial(_refuse, service),
    )
    if settings.origins:  # before the guard: browsers ask without the token whether they may call
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts))
    app.add_middleware(Observe, metrics=service.metrics)

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> Response:
        return http_failure(error)

    app.router.route_class = ServiceRoute
    add_routes(app.router, service)
    add_page(app, service)
    add_write_page(app, service)
    return app


def _refuse(service: Service, path: str) -> Response | None:
    """The answer to rows that would be turned away whatever they are; None if they are welcome."""
    try:
        if not service.is_ready:
            raise UnavailableError
        if path == "/generate":
            service.writing.validate_capacity()
        elif not path.startswith("/label-studio/") or path.endswith("/predict"):  # its other routes run no model
            service.validate_capacity()
    except OverloadedError as error:
        return overloaded(error)
    except UnavailableError:
        return stopping()
    return None
