"""A running service under load, beside the same rows without one.

    python -m benchmarks.serving [--models bert-tiny smollm2-135m] [--seconds 4] [--rounds 3]

The service is a process with a registry of fifty prompts; clients, and the calls without it, are in this one. What is
compared runs in turn, round after round. All answers are compared with those of `PromptSet.predict_rows`.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.case import Case
from benchmarks.engine.sharing import prompts_of
from softcloze import PromptSet
from softcloze.registry import Registry

PROMPTS, CLIENTS, ROWS_IN_A_LIST = 50, 32, 32
TEXTS = {"bert-tiny": 512, "smollm2-135m": 64}
TEMPLATES = {
    "bert-tiny": "<soft*10> <text> It was <mask>.",
    "smollm2-135m": "<soft*10> Review: <text>\nSentiment: <mask>",
}
PREFIX_MEMORY = 64 << 20  # that of the service
MAX_WAIT = 2  # seconds of queued work in the overload, so that a short run is long enough
TOLERANCE = 0.03  # of a probability: rows in other batches differ in the last digits of bfloat16

Row = tuple[str, str]


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

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request, and return the status and the body of its answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
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


class Server:
    """`softcloze serve` in a process."""

    def __init__(self, registry: Registry, model: str, *options: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "softcloze", "serve", str(registry.folder), "--port", str(self.port)]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen([*command, "--model", model, *options], stderr=self._log)
        while not self._answers():
            assert self._process.poll() is None, self._log.seek(0) or self._log.read()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port)):
                return True
        except OSError:
            return False

    @property
    def cpu_seconds(self) -> float:
        """Seconds of processor that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        """Memory of the process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def end(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds that it took."""
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        return code, time.monotonic() - started


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


class Bench:
    """A model, fifty prompts of it, a registry of them, and the answers that are right."""

    def __init__(self, model: str, folder: Path):
        self.model, self.case = model, Case(model, "auto")  # as the service loads it
        self.texts, _ = self.case.texts(TEXTS[model])
        made = prompts_of(self.case, [TEMPLATES[model]] * (PROMPTS + 1))
        self.prompts = {f"p{i:02}": prompt for i, prompt in enumerate(made[:PROMPTS])}
        self.registry = Registry(folder / "prompts")
        for name, prompt in self.prompts.items():
            self.registry.promote(str(self.registry.add(prompt, name)))
        self.second = {"p00": made[PROMPTS]}
        self.set = PromptSet(self.prompts, self.case.backbone, prefix_memory=PREFIX_MEMORY)
        changed = PromptSet(self.second, self.case.backbone, prefix_memory=PREFIX_MEMORY)
        self.one = [("p00", text) for text in self.texts]
        self.mixed = [(f"p{i % PROMPTS:02}", text) for i, text in enumerate(self.texts)]
        self.expected = {
            (name, version, text): self._by_label(row)
            for version, rows, prompts in ((1, {*self.one, *self.mixed}, self.set), (2, {*self.one}, changed))
            for (name, text), row in zip(rows, prompts.predict_rows([*rows]), strict=True)
        }

    @staticmethod
    def _by_label(row: Any) -> dict[str, float]:  # noqa: ANN401
        return dict(zip(row.labels, row.probabilities.tolist(), strict=True))

    def offline(self, seconds: float) -> float:
        """Rows a second of `predict_rows`."""
        started, rows = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            self.set.predict_rows(self.one)
            rows += len(self.one)
        return rows / (time.monotonic() - started)

    def check(self, answers: Sequence[Answer]) -> Counter[str]:
        """Count the rows of answers by what they are: right, wrong, or the status or code of a failure."""
        counts: Counter[str] = Counter()
        for answer in answers:
            if answer.status != 200:
                counts[str(answer.status)] += len(answer.rows)
                continue
            for (name, text), given in zip(answer.rows, answer.row_answers, strict=True):
                if "code" in given:
                    counts[given["code"]] += 1
                    continue
                expected = self.expected[name, given["version"], text]
                nearest = np.allclose(
                    [given["probabilities"][k] for k in expected], [*expected.values()], atol=TOLERANCE
                )
                counts["right" if nearest else "wrong"] += 1
        return counts


def endless(rows: Sequence[Row], size: int = 1) -> Iterator[tuple[Row, ...]]:
    """Requests of `size` rows each, without end."""
    cycle = itertools.cycle(rows)
    while True:
        yield tuple(next(cycle) for _ in range(size))


def percentile(seconds: Sequence[float], percent: float) -> str:
    """A percentile in milliseconds."""
    return f"{1000 * float(np.percentile(seconds, percent)):.1f} ms" if seconds else "-"


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def rates(bench: Bench, server: Server, seconds: float, rounds: int) -> float:
    """Print rows a second with and without the service; return those of the requests of the overload."""
    settings: dict[str, Callable[[], Iterator[tuple[Row, ...]]]] = {
        "single rows": lambda: endless(bench.one),
        "single rows, fifty prompts": lambda: endless(bench.mixed),
    }
    if bench.case.small:
        settings[f"lists of {ROWS_IN_A_LIST}"] = lambda: endless(bench.one, ROWS_IN_A_LIST)
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in settings}
    counts: Counter[str] = Counter()
    slowest: list[float] = []
    for _ in range(rounds):
        cpu = time.process_time()
        without = bench.offline(seconds)
        offline_cpu = time.process_time() - cpu
        cpu_rate = without * seconds / offline_cpu  # nearly: the last call ends after the time
        for name, requests in settings.items():

            async def load(requests: Callable[[], Iterator[tuple[Row, ...]]] = requests) -> list[Answer]:
                with health(server.port) as lives:
                    answers = await closed_loop(server.port, requests(), seconds, CLIENTS)
                slowest.extend(lives)
                return answers

            started, used = time.monotonic(), server.cpu_seconds
            answers = asyncio.run(load())
            taken, used = time.monotonic() - started, server.cpu_seconds - used
            checked = bench.check(answers)
            measured[name].append((without, checked["right"] / taken, checked["right"] / used / cpu_rate))
            counts += checked
    for name, values in measured.items():
        print(
            f"| {bench.model} | {name} | {statistics.median(v[0] for v in values):.1f} | "
            f"{statistics.median(v[1] for v in values):.1f} | {spread([v[1] / v[0] for v in values])} | "
            f"{spread([v[2] for v in values])} |"
        )
    pairs = zip(measured["single rows, fifty prompts"], measured["single rows"], strict=True)
    print(f"fifty prompts to one: {spread([mixed[1] / one[1] for mixed, one in pairs])}")
    print(f"/health/live: median {percentile(slowest, 50)}, p99 {percentile(slowest, 99)}; rows {dict(counts)}")
    kind = f"lists of {ROWS_IN_A_LIST}" if bench.case.small else "single rows"
    return statistics.median(rate for _, rate, _ in measured[kind])


def idle(bench: Bench, server: Server, count: int) -> None:
    """Print the time of one row by a call and by the service, one after the other."""
    direct, served = list[float](), list[float]()

    async def run() -> None:
        connection = Connection(server.port)
        for row in itertools.islice(itertools.cycle(bench.one), count):
            started = time.monotonic()
            bench.set.predict_rows([row])
            between = time.monotonic()
            await connection.ask(classify((row,)))
            direct.append(between - started)
            served.append(time.monotonic() - between)

    asyncio.run(run())
    print(f"idle, median of {count}: call {percentile(direct, 50)}, service {percentile(served, 50)}")


def overload(bench: Bench, server: Server, capacity: float, seconds: float) -> None:
    """Print what becomes of four times as many rows as the service can score."""
    size = ROWS_IN_A_LIST if bench.case.small else 1
    before, started = server.megabytes, time.monotonic()
    answers = asyncio.run(open_loop(server.port, endless(bench.one, size), seconds, 4 * capacity / size))
    taken = time.monotonic() - started
    counts = bench.check(answers)
    refused = [answer.seconds for answer in answers if answer.status == 429]
    admitted = [answer.seconds for answer in answers if answer.status == 200]
    print(
        f"overload, {4 * capacity:.0f} rows/s for {seconds:g} s: goodput {counts['right'] / taken / capacity:.2f} of "
        f"{capacity:.1f} rows/s; rows {dict(counts)}; refused p99 {percentile(refused, 99)}, admitted p99 "
        f"{percentile(admitted, 99)}; memory {before:.0f} to {server.megabytes:.0f} MB"
    )


def promotions(bench: Bench, server: Server, seconds: float) -> None:
    """Print the answers while an alias moves two hundred times between two versions."""
    numbers = random.Random(0)
    bench.registry.add(bench.second["p00"], "p00")

    async def promote() -> None:
        for _ in range(200):
            started = time.monotonic()
            await asyncio.to_thread(bench.registry.promote, f"p00@{numbers.choice((1, 2))}")
            await asyncio.sleep(max(0.0, seconds / 200 - (time.monotonic() - started)))

    async def run() -> list[Answer]:
        task = asyncio.create_task(promote())
        answers: list[Answer] = []
        while not task.done():
            answers += await closed_loop(server.port, endless(bench.one), 1.0, 8)
        await task
        return answers

    answers = asyncio.run(run())
    versions = [json.loads(answer.body).get("version") for answer in answers]
    swaps = sum(one != other for one, other in itertools.pairwise(versions))
    print(f"200 promotions: rows {dict(bench.check(answers))}; {Counter(versions)}, {swaps} changes between answers")


def measure(model: str, seconds: float, rounds: int) -> None:
    """Measure one model."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(model, Path(folder))
        with running(bench) as server:
            idle(bench, server, 200 if bench.case.small else 40)
            capacity = rates(bench, server, seconds, rounds)
            promotions(bench, server, max(seconds, 10.0))
        with running(bench, "--max-wait", str(MAX_WAIT)) as server:
            overload(bench, server, capacity, max(seconds, 4 * MAX_WAIT))


@contextmanager
def running(bench: Bench, *options: str) -> Iterator[Server]:
    """Run a service that is warm and keeps its prefixes; print how it ends."""
    server = Server(bench.registry, f"starter:{bench.model}", *options)
    try:
        asyncio.run(closed_loop(server.port, endless(bench.mixed), 2.0, CLIENTS))
        yield server
    finally:
        code, taken = server.end()
        print(f"SIGTERM: exit code {code} after {taken:.1f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(TEXTS), choices=list(TEXTS))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    print("| model | requests of 32 clients | without, rows/s | with, rows/s | ratio | ratio by processor time |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for model in options.models:
        measure(model, options.seconds, options.rounds)


if __name__ == "__main__":
    main()
