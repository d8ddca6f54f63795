"""The routes of the service, and the answers to requests that fail."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.types import Lifespan

from softcloze.errors import ParameterError
from softcloze.service.answers import RowError, failure
from softcloze.service.batcher import OverloadedError
from softcloze.service.disconnect import while_connected
from softcloze.service.events import TextEvents
from softcloze.service.label_studio import add_label_studio
from softcloze.service.service import Outcome, Service, UnavailableError
from softcloze.service.wire import (
    ClassifyBody,
    ExplainBody,
    Explained,
    FailedRow,
    Failure,
    GenerateBody,
    HubBody,
    HubScore,
    PromptAnswer,
    PromptId,
    PromptsAnswer,
    RowAnswer,
    RowBody,
    RowsAnswer,
    TextAnswer,
    TextsAnswer,
)

FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": description}
    for status, description in {
        400: "The body is no text, or not HTTP, or the header Host has no name of the service.",
        401: "The token is missing or wrong.",
        403: "A page of another origin called.",
        404: "No such prompt, version or alias.",
        413: "The body, or a row, is too large.",
        415: "The body is compressed, or no JSON by its Content-Type.",
        422: "The body or a row does not fit.",
        429: "Too much work is queued; see Retry-After.",
        500: "A row could not be scored, or a text not written.",
        503: "The service is shutting down.",
        504: "The row waited too long, or the text was not written in time.",
    }.items()
}


def make_router(service: Service) -> APIRouter:
    """Make the routes of a service for an application of your own.

    The service starts and stops with that application. Bodies are limited as `service.settings` says. Authorization,
    hosts, origins and the headers of answers are the application's own; the page is not part of the routes.

    Args:
        service: the service.

    Returns:
        A router for `app.include_router(make_router(service), prefix="/api")`.

    Raises:
        ParameterError: the settings have a token or origins, which only an application of `create_app` checks.
    """
    for name in ("token", "origins"):
        if getattr(service.settings, name):
            raise ParameterError(
                f"ServiceSettings({name}=…) has no effect on a router; check it in the application that includes the "
                "router, or make the application with create_app"
            )
    router = APIRouter(
        route_class=ServiceRoute,
        lifespan=lifespan_of(service),
        responses={status: answer for status, answer in FAILURES.items() if status not in (401, 403)},
        max_body_size=service.settings.max_body_bytes,
    )
    add_routes(router, service)
    return router


def lifespan_of(service: Service) -> Lifespan[Any]:
    """The part of an application's lifespan that starts and stops a service."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncGenerator[None]:
        await service.start()
        yield
        await service.stop()

    return lifespan


class ServiceRoute(APIRoute):
    """A route that answers failures by a code and a message, without anything of the request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route, with its exceptions answered."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except RowError as error:
                return failure(error.status, error.code, error.message)
            except OverloadedError as error:
                return overloaded(error)
            except UnavailableError:
                return stopping()
            except RequestValidationError as error:
                return _invalid(error)
            except HTTPException as error:
                return http_failure(error)

        return answer


def http_failure(error: HTTPException) -> Response:
    """The answer to a request that no route takes, or whose body cannot be read."""
    code = _CODES.get(error.status_code, "error")
    return failure(error.status_code, code, _MESSAGES.get(code, "the request failed"), headers=error.headers)


def overloaded(error: OverloadedError) -> Response:
    """The answer to rows that are more than can be done in time."""
    message = "more work is queued than can be done in time; try again later"
    return failure(429, "overloaded", message, headers={"Retry-After": str(error.retry_after)})


def stopping() -> Response:
    """The answer to rows that come while the service shuts down."""
    return failure(503, "stopping", "the service is shutting down", headers={"Retry-After": "5"})


_CODES = {400: "bad_request", 404: "not_found", 405: "method", 413: "too_large", 415: "content_type", 422: "invalid"}
_MESSAGES = {
    "bad_request": "the request cannot be read; send JSON",
    "not_found": "no such route",
    "method": "the route does not take this method",
    "too_large": "the body is too large",
    "content_type": "send JSON with Content-Type: application/json",
}


def _invalid(error: RequestValidationError) -> Response:
    """The answer to a body of the wrong form."""
    if isinstance(error.body, bytes):  # it has another Content-Type, so that it was not read as JSON
        return http_failure(HTTPException(415))
    first = error.errors()[0]
    location = [part for part in first["loc"] if part != "body"]
    row = location[1] if len(location) > 1 and location[0] == "rows" and isinstance(location[1], int) else None
    if first["type"] == "json_invalid":
        return failure(422, "json", "the body is not valid JSON")
    return failure(422, "invalid", _about_body(first["type"], location), row=row)


def _about_body(kind: str, location: Sequence[int | str]) -> str:
    """The message about a body of the wrong form: names of our own fields, and nothing that was sent."""
    known = {*ClassifyBody.model_fields, *RowBody.model_fields, *ExplainBody.model_fields, *HubBody.model_fields}
    known |= GenerateBody.model_fields.keys()
    named = [str(part) for part in location if part in known or isinstance(part, int)]
    subject = f"{'.'.join(named)}: " if named else ""
    return f"{subject}{_KINDS.get(kind, 'the value has the wrong type or is out of range')}; see /openapi.json"


_KINDS = {
    "missing": "the value is missing",
    "extra_forbidden": "there is no such entry",
    "value_error": "give one of text, fields and rows, and a prompt_id",
}


def add_routes(router: APIRouter, service: Service) -> None:
    """Add all routes but the page to a router or to that of an application."""

    @router.post("/classify", response_model=RowAnswer | RowsAnswer, response_model_exclude_none=True)
    async def classify(body: ClassifyBody, request: Request) -> Response:
        """Classify a row, or several; each of several has its answer or its error."""
        rows = body.all_rows
        _validate_rows(rows, service.settings.max_rows)
        outcomes = await while_connected(request, service.classify(rows))
        if body.rows is None:
            (outcome,) = outcomes
            if isinstance(outcome, RowError):
                raise outcome
            return _json(outcome)
        if _are_late(outcomes):
            return failure(504, "deadline", "the rows could not be scored in time")
        return _json(RowsAnswer(rows=[_as_answer(outcome) for outcome in outcomes]))

    @router.post("/explain", response_model_exclude_none=True)
    async def explain(body: ExplainBody, request: Request) -> Explained:
        """Classify a row, and explain it: the label words, their shares, and the likeliest words at the mask."""
        (outcome,) = await while_connected(request, service.explain([body], body.top))
        if isinstance(outcome, RowError):
            raise outcome
        answer, explanation = outcome
        if isinstance(explanation, RowError):
            raise explanation
        reasons = {name: value for name, value in asdict(explanation).items() if name in _REASONS}
        return Explained(**answer.model_dump(exclude_none=True), **reasons)

    @router.post("/generate", response_model=TextAnswer | TextsAnswer, responses={200: _EVENTS})
    async def generate(body: GenerateBody, request: Request) -> Response:
        """Write the text of a row, as a whole or in pieces, or those of several; it stops when the client goes away."""
        rows, most = body.all_rows, body.max_new_tokens
        if body.rows is None:
            if body.stream:
                draft = await while_connected(request, service.begin_text(rows[0], most, in_pieces=True))
                return TextEvents(service.writing, draft)
            return _json(await while_connected(request, service.generate(rows[0], most)))
        if body.stream:
            raise RowError(422, "stream", "the text of a single row can be streamed; leave out stream for rows")
        _validate_rows(rows, service.settings.max_rows)
        outcomes = await while_connected(request, service.generate_rows(rows, most))
        if _are_late(outcomes):
            return failure(504, "deadline", "the texts could not be written in time")
        answers = [
            FailedRow(error=outcome.message, code=outcome.code) if isinstance(outcome, RowError) else outcome
            for outcome in outcomes
        ]
        return _json(TextsAnswer(rows=answers))

    @router.post("/hf/{prompt_id}")
    async def hub(prompt_id: PromptId, body: HubBody, request: Request) -> list[list[HubScore]]:
        """Classify texts in the shape of the hub's text classification."""
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        rows = [RowBody(text=text, fields=None, prompt_id=prompt_id) for text in texts]
        _validate_rows(rows, service.settings.max_rows)
        outcomes = await while_connected(request, service.classify(rows))
        for outcome in outcomes:
            if isinstance(outcome, RowError):
                raise outcome
        most = body.parameters.top_k if body.parameters is not None else None
        return [_as_hub(outcome)[:most] for outcome in outcomes if isinstance(outcome, RowAnswer)]

    add_label_studio(router, service)

    @router.get("/prompts")
    async def prompts() -> PromptsAnswer:
        """The prompts of the registry, and what of them is served."""
        answers = [service.catalogue.describe(name) for name in sorted(service.catalogue.aliases)]
        return PromptsAnswer(model=service.backbone.name, prompts=answers)

    @router.get("/prompts/{prompt_id}")
    async def prompt(prompt_id: str) -> PromptAnswer:
        """A prompt of the registry, and what of it is served."""
        return service.catalogue.describe(prompt_id)

    @router.head("/health/live", include_in_schema=False)
    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @router.head("/health/ready", include_in_schema=False)
    @router.get("/health/ready")
    async def ready() -> dict[str, str]:
        """Rows are answered."""
        if not service.is_ready:
            raise UnavailableError
        return {"status": "ready"}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


_REASONS = Explained.model_fields.keys() - RowAnswer.model_fields.keys()
_EVENTS: dict[str, Any] = {
    "description": 'The text; with `stream`, events of pieces, `data: {"text": …}`, then an event `end` with the '
    "whole answer, or an event `error` with `error` and `code`.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def _validate_rows(rows: Sequence[RowBody], most: int) -> None:
    """Raise RowError if a request has too many rows."""
    if len(rows) > most:
        message = f"the request has {len(rows)} rows, and this service takes {most} at most"
        raise RowError(413, "too_many_rows", message)


def _are_late(outcomes: Sequence[object]) -> bool:
    """Return True if there are rows, and none was done in time."""
    late = [isinstance(outcome, RowError) and outcome.code == "deadline" for outcome in outcomes]
    return bool(late) and all(late)


def _json(answer: RowAnswer | RowsAnswer | TextAnswer | TextsAnswer) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")


def _as_answer(outcome: Outcome) -> RowAnswer:
    """A row's answer in a list."""
    return RowAnswer(error=outcome.message, code=outcome.code) if isinstance(outcome, RowError) else outcome


def _as_hub(answer: RowAnswer) -> list[HubScore]:
    """Labels and probabilities, the most probable first."""
    scores = [HubScore(label=label, score=score) for label, score in (answer.probabilities or {}).items()]
    return sorted(scores, key=lambda one: -one.score)
