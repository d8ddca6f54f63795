"""Requests to a service and results from its replies, without input or output: both clients run these steps.

Each function is a generator. It yields requests, whose replies are sent into it, and pauses, and returns its result.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

from softcloze.client.answers import (
    Answer,
    Record,
    Text,
    failed_row,
    failed_text,
    read_answer,
    read_json,
    read_row_text,
    read_text,
)
from softcloze.client.rows import Row, encode, validate_prompt
from softcloze.errors import DataError, ServiceError
from softcloze.formatting import one_line
from softcloze.parameters import NONE, integer, validate_parameters

TURNED_AWAY = (429, 503)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds, where the service names none
_WRONG_ROWS = (400, 413, 422)  # statuses of requests that are wrong because of one of their rows, or are too large
_LATE = "deadline"  # the code of rows that were not done in time
_LONGEST_MESSAGE = 500

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """A request: with a body it is a POST; with `streams`, the content of an answer stays to be read."""

    path: str
    body: bytes | None = None
    streams: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a request; without a status there was none, and `problem` says why.

    `dropped` is True if the connection was made, and broke off before the reply was complete. A reply whose content
    stays to be read has the open `response` of the HTTP library.
    """

    status: int | None
    headers: Mapping[str, str]
    content: bytes
    problem: str = ""
    dropped: bool = False
    response: Any = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits for repeating a request that the service turns away.

    Attributes:
        tries: requests in all.
        max_wait: seconds of the pauses between them in all.
    """

    tries: int
    max_wait: float


Steps: TypeAlias = Generator[Request | Pause, Any, Result]


def classify_one(example: object, prompt: str, patience: Patience) -> Steps[Answer]:
    """Classify one example; raises ServiceError or DataError if it has no answer."""
    reference = validate_prompt(prompt)
    reply = yield from _send(Request("/classify", _encode_one(example, reference)), patience, reference)
    answer = read_answer(read_json(reply.content), reference) if reply.status == 200 else None
    if answer is None or answer.error is not None:
        raise _error(reply, reference)
    return answer


def explain(example: object, prompt: str, top: int, patience: Patience) -> Steps[Record]:
    """Explain the decision for one example."""
    reference = validate_prompt(prompt)
    reply = yield from _send(Request("/explain", _encode_one(example, reference, top=top)), patience, reference)
    return _record(reply, reference)


def generate(example: object, prompt: str, max_new_tokens: int | None, patience: Patience) -> Steps[Text]:
    """Write a text for one example; raises ServiceError or DataError if there is none."""
    request = _text_request(example, prompt, max_new_tokens, streams=False)
    reply = yield from _send(request, patience, prompt)
    text = read_text(_record(reply, prompt))
    if text is None:
        raise _error(reply, prompt)
    return text


def begin_stream(example: object, prompt: str, max_new_tokens: int | None, patience: Patience) -> Steps[Any]:
    """Begin to write a text in pieces; return the open response."""
    request = _text_request(example, prompt, max_new_tokens, streams=True)
    reply: Reply = yield from _send(request, patience, prompt)
    if reply.response is None:
        raise _error(reply, prompt)
    return reply.response


def _text_request(example: object, prompt: str, max_new_tokens: int | None, *, streams: bool) -> Request:
    most = validate_new_tokens(max_new_tokens)
    others = {"max_new_tokens": most} if most is not None else {}
    body = _encode_one(example, validate_prompt(prompt), stream=streams, **others)
    return Request("/generate", body, streams)


def validate_new_tokens(max_new_tokens: int | None) -> int | None:
    """Return a number of new tokens; raise ParameterError if it is none from 1."""
    validate_parameters({"max_new_tokens": max_new_tokens}, {"max_new_tokens": integer(at_least=1) | NONE})
    return int(max_new_tokens) if max_new_tokens is not None else None


def list_prompts(patience: Patience) -> Steps[list[Record]]:
    """The prompts of the service."""
    reply = yield from _send(Request("/prompts"), patience)
    prompts = _record(reply).get("prompts")
    if not isinstance(prompts, list):
        raise _error(reply)
    return prompts


def describe_prompt(name: str, patience: Patience) -> Steps[Record]:
    """A prompt of the service."""
    reply = yield from _send(Request(f"/prompts/{quote(validate_prompt(name), safe='')}"), patience, name)
    return _record(reply, name)


def is_ready() -> Steps[bool]:
    """True if the service answers rows; False if it is not there, starts or stops."""
    reply = yield Request("/health/ready")
    if reply.status not in (200, 503, None):
        raise _error(reply)
    return bool(reply.status == 200)


def classify_rows(part: Sequence[Row | Answer], patience: Patience) -> Steps[list[Answer]]:
    """Classify the rows of one request; those that have an answer already keep it."""
    call = _RowsCall("/classify", read_answer, failed_row)
    return (yield from _with_unsent(part, call, patience))


def generate_rows(part: Sequence[Row | Answer], max_new_tokens: int | None, patience: Patience) -> Steps[list[Text]]:
    """Write texts for the rows of one request; those that cannot be sent have their errors."""
    others = b"" if max_new_tokens is None else b', "max_new_tokens": %d' % max_new_tokens
    call = _RowsCall("/generate", read_row_text, failed_text, others, repeats_late=True)
    return (yield from _with_unsent(part, call, patience))


@dataclass(frozen=True, slots=True)
class _RowsCall(Generic[Result]):
    """A call with several rows.

    Attributes:
        path: of the route.
        read: reads the answer to a row, given the prompt that was asked for; None for a value that is none.
        fail: the answer to a row without one, from prompt, message and code.
        others: other entries of the body.
        repeats_late: whether rows that were late are sent again with fewer others.
    """

    path: str
    read: Callable[[Any, str], Result | None]
    fail: Callable[[str, str, str], Result]
    others: bytes = b""
    repeats_late: bool = False


def _with_unsent(part: Sequence[Row | Answer], call: _RowsCall[Result], patience: Patience) -> Steps[list[Result]]:
    """The answers to rows, of which some cannot be sent and have an error already."""
    rows = [row for row in part if isinstance(row, Row)]
    answers = iter((yield from _send_rows(rows, call, patience)) if rows else ())
    return [
        call.fail(row.prompt, str(row.error), str(row.code)) if isinstance(row, Answer) else next(answers)
        for row in part
    ]


def _send_rows(rows: Sequence[Row], call: _RowsCall[Result], patience: Patience) -> Steps[list[Result]]:
    """Send rows; those of a request that is wrong or too large are halved until one row has the error."""
    prompts = {row.prompt for row in rows}
    prompt = prompts.pop() if len(prompts) == 1 else ""
    span = rows[0].index, rows[-1].index
    body = b'{"rows": [' + b", ".join(row.content for row in rows) + b"]" + call.others + b"}"
    reply: Reply = yield from _send(Request(call.path, body), patience, prompt, span)
    error = _error(reply, prompt, span)
    if reply.status == 200:
        values = (read_json(reply.content) or {}).get("rows")
        if not isinstance(values, list) or len(values) != len(rows):
            raise error
        answers = [call.read(value, row.prompt) for row, value in zip(rows, values, strict=True)]
        known = [answer for answer in answers if answer is not None]
        if len(known) != len(rows):
            raise error
        late = [i for i, value in enumerate(values) if value.get("code") == _LATE] if call.repeats_late else []
        if late and len(late) < len(rows):
            again = yield from _send_rows([rows[i] for i in late], call, patience)
            for i, answer in zip(late, again, strict=True):
                known[i] = answer
        return known
    is_late = error.code == _LATE
    if (reply.status in _WRONG_ROWS or (is_late and call.repeats_late)) and len(rows) > 1:
        half = len(rows) // 2
        first = yield from _send_rows(rows[:half], call, patience)
        return first + (yield from _send_rows(rows[half:], call, patience))
    if reply.status in _WRONG_ROWS or is_late:
        return [call.fail(row.prompt, error.problem, error.code or "invalid") for row in rows]
    raise error


def _encode_one(example: object, prompt: str, **others: object) -> bytes:
    try:
        return encode(example, prompt_id=prompt, **others)
    except DataError as error:
        raise DataError(f"{prompt}: {error}") from error


def _send(request: Request, patience: Patience, prompt: str = "", rows: tuple[int, int] | None = None) -> Steps[Reply]:
    """Send a request, and again after a pause while it is turned away.

    One whose connection is dropped is sent once more: a service or a proxy may close an idle connection at the moment
    of a request. Requests change nothing at the service, so that repeating them is safe; a stream is never repeated.

    Raises:
        ServiceError: it was turned away too often, or there was no reply.
    """
    waited, may_repeat = 0.0, not request.streams
    for tried in range(1, patience.tries + 1):
        reply: Reply = yield request
        if reply.dropped and may_repeat:
            may_repeat = False
            reply = yield request
        if reply.status is None:
            raise ServiceError(reply.problem, prompt, rows)
        if reply.status not in TURNED_AWAY:
            return reply
        asked = _retry_after(reply.headers.get("retry-after"))
        pause = asked if asked is not None else min(_FIRST_PAUSE * 2 ** (tried - 1), _LONGEST_PAUSE)
        if tried == patience.tries or waited + pause > patience.max_wait:
            break
        yield Pause(pause)
        waited += pause
    times = f"{tried} times in a row" if tried > 1 else "at the only try"
    hint = f"it asks for {pause:.0f} s more; tries={patience.tries} and max_wait={patience.max_wait:g} decide how long"
    problem = f"turned away {times}, after {waited:.0f} s of waiting: {_message(reply)}; {hint} the client waits"
    raise ServiceError(problem, prompt, rows, reply.status, _code(reply))


def _retry_after(value: str | None) -> float | None:
    """The seconds of a header Retry-After, which has a number or a date; None if it has neither."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _record(reply: Reply, prompt: str = "") -> Record:
    """The JSON of an answer; raises ServiceError for a failure."""
    record = read_json(reply.content) if reply.status == 200 else None
    if record is None:
        raise _error(reply, prompt)
    return record


def _error(reply: Reply, prompt: str = "", rows: tuple[int, int] | None = None) -> ServiceError:
    """The error that a reply reports."""
    return ServiceError(_message(reply), prompt, rows, reply.status, _code(reply))


def _code(reply: Reply) -> str | None:
    code = (read_json(reply.content) or {}).get("code")
    return code if isinstance(code, str) else None


def _message(reply: Reply) -> str:
    """The message of a reply, on one line."""
    body = read_json(reply.content) or {}
    if reply.status == 200:
        return "the answer is not that of a softcloze service; does the URL name one, of the same version?"
    if isinstance(body.get("error"), str):
        message = one_line(body["error"][:_LONGEST_MESSAGE])
        hints = {401: "give token=", 504: "send fewer rows at once, or later"}
        return message + (f"; {hint}" if (hint := hints.get(int(reply.status or 0))) else "")
    if reply.status is not None and 300 <= reply.status < 400:
        return f"redirected ({reply.status}); give the URL that it leads to"
    return f"the answer has the status {reply.status} and is not that of a softcloze service"
