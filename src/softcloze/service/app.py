"""The application of the service: its routes and pages."""

from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.responses import Response

from softcloze.service.batcher import OverloadedError
from softcloze.service.page import add_page
from softcloze.service.protection import PRIVATE, protect
from softcloze.service.router import FAILURES, add_routes, lifespan_of, overloaded, stopping
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
    app = FastAPI(
        title="softcloze",
        description="Classify texts, and write texts, by prompts on one frozen language model.",
        version=version("softcloze"),
        lifespan=lifespan_of(service),
        responses=FAILURES,
        **PRIVATE,
    )
    settings = service.settings
    protect(app, settings, service.metrics, origins=settings.origins, refuse=partial(_refuse, service))
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
