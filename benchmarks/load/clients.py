"""Clients of a service on loopback: connections, requests, and loads of two kinds."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

Row = tuple[str, str]
"""A prompt and a text."""

_KEEP_ALIVE = 3.0  # seconds; the service closes connections that are idle for five


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: its rows, status, body and seconds."""

    rows: tuple[Row, ...]
    status: int
    body: bytes
    seconds: float

    @property
    def row_answers(self) -> list[dict[str, Any]]:
        """The answers to its rows."""
        body = json.loads(self.body)
        return list(body.get("rows", [body]))


class Connection:
    """A connection that sends one request after another."""

    def __init__(self, port: int):
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request, and return the status and the body of its answer."""
        if time.monotonic() - self._used > _KEEP_ALIVE:
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        self._used = time.monotonic()
        if "connection: close" in head:
            self.close()
        return int(head.split(maxsplit=2)[1]), body

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def get(path: str) -> bytes:
    """A request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@cache
def classify(rows: tuple[Row, ...]) -> bytes:
    """A request that classifies rows, made once."""
    entries = [{"text": text, "prompt_id": name} for name, text in rows]
    body = json.dumps(entries[0] if len(entries) == 1 else {"rows": entries}).encode()
    head = "POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def endless(rows: Sequence[Row], size: int = 1) -> Iterator[tuple[Row, ...]]:
    """Requests of `size` rows each, without end."""
    cycle = itertools.cycle(rows)
    while True:
        yield tuple(next(cycle) for _ in range(size))


async def closed_loop(port: int, requests: Iterator[tuple[Row, ...]], seconds: float, clients: int) -> list[Answer]:
    """Clients that each send their next request when the last one is answered."""
    end, answers = time.monotonic() + seconds, list[Answer]()

    async def run() -> None:
        connection = Connection(port)
        while (started := time.monotonic()) < end:
            rows = next(requests)
            status, body = await connection.ask(classify(rows))
            answers.append(Answer(rows, status, body, time.monotonic() - started))
        connection.close()

    await asyncio.gather(*(run() for _ in range(clients)))
    return answers


async def open_loop(port: int, requests: Iterator[tuple[Row, ...]], seconds: float, rate: float) -> list[Answer]:
    """Requests at a rate of their own, whatever becomes of those before."""
    free, answers, tasks = list[Connection](), list[Answer](), list[asyncio.Task[None]]()

    async def send(rows: tuple[Row, ...]) -> None:
        connection = free.pop() if free else Connection(port)
        started = time.monotonic()
        try:
            status, body = await connection.ask(classify(rows))
            answers.append(Answer(rows, status, body, time.monotonic() - started))
            free.append(connection)
        except (OSError, asyncio.IncompleteReadError):
            answers.append(Answer(rows, 0, b"{}", time.monotonic() - started))

    began = time.monotonic()
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(send(next(requests))))
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    return answers


async def ask_health(port: int, seconds: list[float]) -> None:
    """Ask for /health/live twenty times a second until cancelled."""
    connection = Connection(port)
    while True:
        started = time.monotonic()
        await connection.ask(get("/health/live"))
        seconds.append(time.monotonic() - started)
        await asyncio.sleep(0.05)


@contextmanager
def health(port: int) -> Iterator[list[float]]:
    """Measure /health/live in a running loop meanwhile."""
    seconds: list[float] = []
    task = asyncio.get_running_loop().create_task(ask_health(port, seconds))
    try:
        yield seconds
    finally:
        task.cancel()
