"""The answer in pieces: server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from softcloze.service.answers import RowError
from softcloze.service.wire import TextAnswer
from softcloze.service.writing import Draft, Writing


class TextEvents(StreamingResponse):
    """The pieces of a text as events `{"text": …}`, and at the end an event `end` with the whole answer.

    A text that cannot be written ends with an event `error` with `error` and `code`. A client that goes away stops the
    model.
    """

    media_type = "text/event-stream"

    def __init__(self, writing: Writing, draft: Draft):
        """Take a text that is queued to be streamed, and its queue."""
        super().__init__(_events(writing, draft), headers={"X-Accel-Buffering": "no"})  # for a proxy: pass on at once
        self._draft = draft

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._draft.close()


async def _events(writing: Writing, draft: Draft) -> AsyncIterator[str]:
    try:
        async for part in writing.stream(draft):
            yield _event(part.model_dump(), "end") if isinstance(part, TextAnswer) else _event({"text": part})
    except RowError as error:
        yield _event({"error": error.message, "code": error.code}, "error")


def _event(data: dict[str, Any], name: str | None = None) -> str:
    return ("" if name is None else f"event: {name}\n") + f"data: {json.dumps(data)}\n\n"
