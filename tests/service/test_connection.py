"""Connections that do not deliver a request are closed; others are served meanwhile."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import uvicorn

from softcloze.service.connection import timed_protocol

BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


async def app(scope, receive, send):
    """Answers with the length of the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"%02d" % len(body)})


@asynccontextmanager
async def serving(seconds, **limits):
    config = uvicorn.Config(
        app, port=0, http=timed_protocol(seconds, **limits), ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.001)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def connected(port, first=b""):
    """A connection on which `first` is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(first)
        yield reader, writer
    finally:
        writer.close()


async def closes(reader):
    """True if the other side closes the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "start", [b"", b"POST / HT", BODY, BODY + b"12345"], ids=["nothing", "headers", "body", "half"]
)
def test_a_request_that_does_not_arrive_ends_its_connection(start):
    async def main():
        async with serving(0.05) as port, connected(port, start) as (reader, _):
            assert await closes(reader)

    asyncio.run(main())


def test_bytes_that_trickle_do_not_prolong_the_time():
    async def main():
        async with serving(0.2) as port, connected(port, b"POST / HTTP/1.1\r\n") as (reader, writer):
            closed = asyncio.create_task(closes(reader))
            while not closed.done():
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.02)
            assert await closed

    asyncio.run(main())


def test_requests_that_arrive_are_answered_and_the_time_between_them_does_not_count():
    async def main():
        async with serving(0.1) as port, connected(port) as (reader, writer):
            for _ in range(2):
                writer.write(BODY + b"1234567890")
                assert (await reader.readuntil(b"\r\n\r\n10")).startswith(b"HTTP/1.1 200")
                await asyncio.sleep(0.2)

    asyncio.run(main())


def test_many_clients_may_connect_at_once():
    async def main():
        async with serving(60, max_incomplete=2) as port, AsyncExitStack() as clients:
            connections = [await clients.enter_async_context(connected(port)) for _ in range(20)]
            for reader, writer in connections:
                writer.write(BODY + b"1234567890")
                assert (await reader.readuntil(b"\r\n\r\n10")).startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_a_body_that_does_not_arrive_after_another_request_ends_its_connection():
    async def main():
        async with serving(0.2) as port, connected(port, BODY + b"1234567890" + BODY) as (reader, _):
            assert (await reader.readuntil(b"\r\n\r\n10")).startswith(b"HTTP/1.1 200")
            assert await closes(reader)

    asyncio.run(main())


def test_the_oldest_of_many_slow_connections_gives_way():
    async def main():
        async with serving(60, max_incomplete=2, grace=0) as port, AsyncExitStack() as slow:
            readers = []
            for _ in range(3):
                reader, _ = await slow.enter_async_context(connected(port, b"POST"))
                readers.append(reader)
                await asyncio.sleep(0.01)
            assert await closes(readers[0])
            async with connected(port, BODY + b"1234567890") as (reader, _):
                assert (await reader.readuntil(b"\r\n\r\n10")).startswith(b"HTTP/1.1 200")

    asyncio.run(main())
