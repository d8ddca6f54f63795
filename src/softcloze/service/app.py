"""The routes of the service."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from softcloze.service.answers import RowError, failure
from softcloze.service.batcher import OverloadedError
from softcloze.service.disconnect import while_connected
from softcloze.service.guard import Guard
from softcloze.service.observe import Observe
from softcloze.service.page import add_page
from softcloze.service.service import Outcome, Service, UnavailableError
from softcloze.service.wire import (
    ClassifyBody,
    ExplainBody,
    Explained,
    Failure,
    HubBody,
    HubScore,
    PromptAnswer,
    PromptId,
    PromptsAnswer,
    RowAnswer,
    RowBody,
    RowsAnswer,
)

_CODES = {400: "bad_request", 404: "not_found", 405: "method", 413: "too_large", 415: "content_type", 422: "invalid"}
_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": description}
    for status, description in {
        401: "The token is missing or wrong.",
        403: "A page of another origin called.",
        404: "No such prompt, version or alias.",
        413: "The body, or a row, is too large.",
        422: "The body or a row does not fit.",
        429: "Too much work is queued; see Retry-After.",
        500: "A row could not be scored.",
        503: "The service is shutting down.",
        504: "The row waited too long.",
    }.items()
}


def create_app(service: Service) -> FastAPI:
    """Make the application of a service.

    Args:
        service: started and stopped with the application.

    Returns:
        An ASGI application. It has no pages of documentation, which would load scripts from elsewhere; its OpenAPI
        description is at /openapi.json. Telemetry of FastAPI is off.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await service.start()
        yield
        await service.stop()

    settings = service.settings
    app = FastAPI(
        title="softcloze",
        description="Classify texts by prompts on one frozen language model.",
        version=version("softcloze"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=_FAILURES,
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
    _add_failures(app)
    _add_routes(app, service)
    add_page(app, service)
    return app


def _add_failures(app: FastAPI) -> None:
    """Answer failures by a code and a message, without anything of the request."""

    @app.exception_handler(RowError)
    async def row(_: Request, error: RowError) -> Response:
        return failure(error.status, error.code, error.message)

    @app.exception_handler(OverloadedError)
    async def overloaded(_: Request, error: OverloadedError) -> Response:
        return _overloaded(error)

    @app.exception_handler(UnavailableError)
    async def unavailable(_: Request, __: UnavailableError) -> Response:
        return _stopping()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        location = [part for part in first["loc"] if part != "body"]
        row = location[1] if len(location) > 1 and location[0] == "rows" and isinstance(location[1], int) else None
        if first["type"] == "json_invalid":
            return failure(422, "json", "the body is not valid JSON")
        return failure(422, "invalid", _about_body(first["type"], location), row=row)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "error")
        return failure(error.status_code, code, _MESSAGES.get(code, "the request failed"), headers=error.headers)


def _refuse(service: Service) -> Response | None:
    """The answer to rows that would be turned away whatever they are; None if they are welcome."""
    try:
        service.validate_capacity()
    except OverloadedError as error:
        return _overloaded(error)
    except UnavailableError:
        return _stopping()
    return None


def _overloaded(error: OverloadedError) -> Response:
    message = "more work is queued than can be done in time; try again later"
    return failure(429, "overloaded", message, headers={"Retry-After": str(error.retry_after)})


def _stopping() -> Response:
    return failure(503, "stopping", "the service is shutting down", headers={"Retry-After": "5"})


_MESSAGES = {
    "bad_request": "the request cannot be read; send JSON",
    "not_found": "no such route",
    "method": "the route does not take this method",
    "too_large": "the body is too large",
    "content_type": "send JSON with Content-Type: application/json",
}


def _about_body(kind: str, location: Sequence[int | str]) -> str:
    """The message about a body of the wrong form: names of our own fields, and nothing that was sent."""
    known = {*ClassifyBody.model_fields, *RowBody.model_fields, *ExplainBody.model_fields, *HubBody.model_fields}
    named = [str(part) for part in location if part in known or isinstance(part, int)]
    subject = f"{'.'.join(named)}: " if named else ""
    return f"{subject}{_KINDS.get(kind, 'the value has the wrong type or is out of range')}; see /openapi.json"


_KINDS = {
    "missing": "the value is missing",
    "extra_forbidden": "there is no such entry",
    "value_error": "give one of text, fields and rows, and a prompt_id",
}


def _add_routes(app: FastAPI, service: Service) -> None:
    """Add all routes but the page."""

    @app.post("/classify", response_model=RowAnswer | RowsAnswer, response_model_exclude_none=True)
    async def classify(body: ClassifyBody, request: Request) -> Response:
        """Classify a row, or several; each of several has its answer or its error."""
        rows = body.all_rows
        if len(rows) > service.settings.max_rows:
            most = service.settings.max_rows
            return failure(
                413, "too_many_rows", f"the request has {len(rows)} rows, and this service takes {most} at most"
            )
        outcomes = await while_connected(request, service.classify(rows))
        if body.rows is None:
            (outcome,) = outcomes
            if isinstance(outcome, RowError):
                raise outcome
            return _json(outcome)
        if outcomes and all(isinstance(outcome, RowError) and outcome.code == "deadline" for outcome in outcomes):
            return failure(504, "deadline", "the rows could not be scored in time")
        return _json(RowsAnswer(rows=[_as_answer(outcome) for outcome in outcomes]))

    @app.post("/explain", response_model_exclude_none=True)
    async def explain(body: ExplainBody, request: Request) -> Explained:
        """Explain the decision for a row: the label words, their shares, and the likeliest words at the mask."""
        served, explanation = await while_connected(request, service.explain(body, body.top))
        return Explained(
            prompt_id=served.version.name,
            version=served.version.number,
            label=explanation.predicted,
            **asdict(explanation),
        )

    @app.post("/hf/{prompt_id}")
    async def hub(prompt_id: PromptId, body: HubBody, request: Request) -> list[list[HubScore]]:
        """Classify texts in the shape of the hub's text classification."""
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        rows = [RowBody(text=text, fields=None, prompt_id=prompt_id) for text in texts]
        if len(rows) > service.settings.max_rows:
            raise RowError(413, "too_many_rows", f"this service takes {service.settings.max_rows} rows at most")
        outcomes = await while_connected(request, service.classify(rows))
        for outcome in outcomes:
            if isinstance(outcome, RowError):
                raise outcome
        most = body.parameters.top_k if body.parameters is not None else None
        return [_as_hub(outcome)[:most] for outcome in outcomes if isinstance(outcome, RowAnswer)]

    @app.get("/prompts")
    async def prompts() -> PromptsAnswer:
        """The prompts of the registry, and what of them is served."""
        answers = [service.catalogue.describe(name) for name in sorted(service.catalogue.aliases)]
        return PromptsAnswer(model=service.backbone.name, prompts=answers)

    @app.get("/prompts/{prompt_id}")
    async def prompt(prompt_id: str) -> PromptAnswer:
        """A prompt of the registry, and what of it is served."""
        return service.catalogue.describe(prompt_id)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        """Rows are answered."""
        if not service.is_ready:
            raise UnavailableError
        return {"status": "ready"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _json(answer: RowAnswer | RowsAnswer) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")


def _as_answer(outcome: Outcome) -> RowAnswer:
    """A row's answer in a list."""
    return RowAnswer(error=outcome.message, code=outcome.code) if isinstance(outcome, RowError) else outcome


def _as_hub(answer: RowAnswer) -> list[HubScore]:
    """Labels and probabilities, the most probable first."""
    scores = [HubScore(label=label, score=score) for label, score in (answer.probabilities or {}).items()]
    return sorted(scores, key=lambda one: -one.score)
