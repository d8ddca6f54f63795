"""Texts of generators by both clients: whole, in pieces, and failures of either."""

import asyncio
import json
from contextlib import closing

import pytest
from support.calling import Calling, replying

from softcloze.client import AsyncClient, Client, Text
from softcloze.client.events import LONGEST_LINE
from softcloze.errors import ParameterError, ServiceError

RECORD = {
    "text": "很好 \n a",
    "prompt_id": "short",
    "version": 2,
    "tokens": 7,
    "new_tokens": 3,
    "finish": "end",
    "cut": {"a": 1},
}
TEXT = Text("很好 \n a", "short", 2, 7, 3, "end", {"a": 1})
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
BUSY = (429, {"error": "busy", "code": "overloaded"}, {"Retry-After": "0"})


def events(*parts):
    """A reply of events: texts of pieces, or names with their data."""
    named = [("", {"text": part}) if isinstance(part, str) else part for part in parts]
    lines = [(f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in named]
    return 200, "".join(lines).encode(), EVENTS


def streamed(kind, url, *arguments):
    """All pieces of a text."""
    if kind == "sync":
        with Client(url) as client:
            return [*client.stream(*arguments)]

    async def run():
        async with AsyncClient(url) as client:
            return [piece async for piece in client.stream(*arguments)]

    return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def test_a_text_and_its_pieces(kind):
    with replying(BUSY, (200, RECORD), BUSY, events("很好 ", "\n a", ("end", RECORD))) as (url, requests):
        assert Calling(kind, url, "s3cret").generate({"a": "x"}, "short@live", 3) == TEXT
        assert streamed(kind, url, "a text", "short") == ["很好 ", "\n a"]
    assert [(path, body) for path, _, body in requests[1::2]] == [
        ("/generate", {"fields": {"a": "x"}, "prompt_id": "short@live", "stream": False, "max_new_tokens": 3}),
        ("/generate", {"text": "a text", "prompt_id": "short", "stream": True}),
    ]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (events("a", ("error", {"error": "not in time", "code": "deadline"})), "short: not in time"),
        (events("a"), "short: the events ended before the text"),
        (events("a", ("end", {"text": "a"})), "short: an event is not one of a softcloze service"),
        ((200, b"data: [1\n\n", EVENTS), "short: an event is not one of a softcloze service"),
        ((200, b"data: " + b"x" * LONGEST_LINE, EVENTS), "short: a line of the events has more than 8 MiB"),
        ((200, b"data: {}\n\n", {**EVENTS, "Content-Length": "100"}), "short: "),
        ((200, RECORD), "short: the answer is not that of a softcloze service"),
        ((422, {"error": "short@2 gives labels", "code": "wrong_route"}), "short: short@2 gives labels"),
    ],
)
def test_a_text_that_is_not_written_is_an_error(kind, reply, message):
    with replying(reply) as (url, _), pytest.raises(ServiceError, match=f"^{message}"):
        streamed(kind, url, "a text", "short")


def test_texts_that_were_late_are_written_with_fewer_others(kind):
    late = {"error": "the text could not be written in time", "code": "deadline"}

    def write(request):
        rows = request[2]["rows"]
        if len(rows) > 3:
            return 504, late
        done = [{**RECORD, "text": row["text"]} for row in rows[:1]]
        return 200, {"rows": done + [late] * (len(rows) - 1)}

    with replying(write) as (url, requests):
        written = Calling(kind, url).generate_many([*"abcd"], "short", 3)
        assert [one.text for one in written] == [*"abcd"]
        assert {body["max_new_tokens"] for _, _, body in requests} == {3}
    with replying((504, late)) as (url, _):
        assert [one.code for one in Calling(kind, url).generate_many(["a", "b"], "short")] == ["deadline"] * 2


def test_an_answer_that_is_no_text_is_an_error(kind):
    with replying((200, {"label": "a"})) as (url, _), pytest.raises(ServiceError, match="is not that of a softcloze"):
        Calling(kind, url).generate("a", "short")


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "3", True])
def test_a_wrong_number_of_new_tokens_is_not_sent(kind, wrong):
    with replying((200, RECORD)) as (url, requests):
        with pytest.raises(ParameterError, match="max_new_tokens"):
            Calling(kind, url).generate("a", "short", wrong)
        with pytest.raises(ParameterError, match="max_new_tokens"):
            streamed(kind, url, "a", "short", wrong)
    assert requests == []


def test_a_stream_that_is_closed_gives_its_connection_back():
    with replying(events("a", "b", ("end", RECORD))) as (url, requests), Client(url) as client:
        for _ in range(12):  # more than a client keeps
            with closing(client.stream("a text", "short")) as pieces:
                assert next(pieces) == "a"
    assert len(requests) == 12
