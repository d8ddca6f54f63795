"""A running service under load, beside the same rows without one.

    python -m benchmarks.serving [--models bert-tiny smollm2-135m] [--seconds 4] [--rounds 3] [--soak MINUTES]

The service is a process with a registry of fifty prompts, on a core of its own; clients, and the calls without it, are
in this process on another core. Both have one thread of torch. What is compared runs in turn, round after round. All
answers are compared with those of `PromptSet.predict_rows`. With `--soak` there is nothing but requests at half of the
capacity, the memory of the service minute by minute, and whether it stayed within 5 % in the second half.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.load.bench import CLIENTS, PROMPTS, ROWS_IN_A_LIST, TEXTS, Bench
from benchmarks.load.clients import Answer, Connection, Row, classify, closed_loop, endless, health, open_loop
from benchmarks.load.server import Server, use_core

FLAT = 0.05  # by which memory may grow in the second half of a soak
MAX_WAIT = 2  # seconds of queued work in the overload, so that a short run is long enough


def percentile(seconds: Sequence[float], percent: float) -> str:
    """A percentile in milliseconds."""
    return f"{1000 * float(np.percentile(seconds, percent)):.1f} ms" if seconds else "-"


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def rates(bench: Bench, server: Server, seconds: float, rounds: int) -> float:
    """Print rows a second with and without the service; return those of the requests of the overload."""
    settings: dict[str, Callable[[], Iterator[tuple[Row, ...]]]] = {
        "single rows": lambda: endless(bench.rows(1)),
        "single rows, fifty prompts": lambda: endless(bench.rows(PROMPTS)),
    }
    if bench.case.small:
        settings[f"lists of {ROWS_IN_A_LIST}"] = lambda: endless(bench.rows(1), ROWS_IN_A_LIST)
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in settings}
    counts: Counter[str] = Counter()
    slowest: list[float] = []
    for _ in range(rounds):
        without, cpu_rate = bench.offline(seconds)
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
    print("| model | requests of 32 clients | without, rows/s | with, rows/s | ratio | ratio by processor time |")
    print("| --- | --- | --- | --- | --- | --- |")
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
        for row in itertools.islice(itertools.cycle(bench.rows(1)), count):
            started = time.monotonic()
            bench.set.predict_rows([row])
            between = time.monotonic()
            await connection.ask(classify((row,)))
            direct.append(between - started)
            served.append(time.monotonic() - between)

    asyncio.run(run())
    print(f"idle, median of {count}: call {percentile(direct, 50)}, service {percentile(served, 50)}")


def table(bench: Bench, server: Server, seconds: float) -> None:
    """Print rows a second, latency and memory by clients and prompts, a row in each request."""
    print("| model | clients | prompts | rows/s | p50 | p99 | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for clients, prompts in itertools.product((1, 8, CLIENTS), (1, 10, PROMPTS)):
        started = time.monotonic()
        answers = asyncio.run(closed_loop(server.port, endless(bench.rows(prompts)), seconds, clients))
        rate = bench.check(answers)["right"] / (time.monotonic() - started)
        taken = [answer.seconds for answer in answers]
        print(
            f"| {bench.model} | {clients} | {prompts} | {rate:.1f} | {percentile(taken, 50)} | "
            f"{percentile(taken, 99)} | {server.megabytes:.0f} |",
            flush=True,
        )


def overload(bench: Bench, server: Server, capacity: float, seconds: float) -> None:
    """Print what becomes of four times as many rows as the service can score."""
    size = ROWS_IN_A_LIST if bench.case.small else 1
    before, started = server.megabytes, time.monotonic()
    answers = asyncio.run(open_loop(server.port, endless(bench.rows(1), size), seconds, 4 * capacity / size))
    taken = time.monotonic() - started
    counts = bench.check(answers)
    refused = [answer.seconds for answer in answers if answer.status == 429]
    admitted = [answer.seconds for answer in answers if answer.status == 200]
    print(
        f"overload, {4 * capacity:.0f} rows/s for {seconds:g} s: goodput {counts['right'] / taken / capacity:.2f} of "
        f"{capacity:.1f} rows/s; rows {dict(counts)}; refused p99 {percentile(refused, 99)}, admitted p99 "
        f"{percentile(admitted, 99)}; memory {before:.0f} to {server.megabytes:.0f} MB",
        flush=True,
    )


def soak(bench: Bench, server: Server, minutes: int) -> None:
    """Print what becomes of requests at half of the capacity, and the memory of the service by minutes."""
    size = ROWS_IN_A_LIST if bench.case.small else 1
    rows = endless(bench.rows(PROMPTS), size)
    started = time.monotonic()
    answers = asyncio.run(closed_loop(server.port, rows, 10.0, CLIENTS))
    capacity = bench.check(answers)["right"] / (time.monotonic() - started)
    memory = [server.megabytes]
    print(f"soak at {capacity / 2:.1f} rows/s, from {memory[0]:.0f} MB", flush=True)
    for minute in range(1, minutes + 1):
        answers = asyncio.run(open_loop(server.port, rows, 60.0, capacity / 2 / size))
        taken = [answer.seconds for answer in answers]
        memory.append(server.megabytes)
        print(
            f"minute {minute}: {memory[-1]:.0f} MB; p50 {percentile(taken, 50)}, p99 {percentile(taken, 99)}; "
            f"rows {dict(bench.check(answers))}",
            flush=True,
        )
    half = minutes // 2
    growth = max(memory[half:]) / memory[half] - 1
    verdict = "flat" if growth <= FLAT else "NOT flat"
    whole = memory[-1] / memory[0] - 1
    print(f"memory from minute {half} to {minutes}: {verdict}, {growth:+.1%}; from the start {whole:+.1%}")


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
            answers += await closed_loop(server.port, endless(bench.rows(1)), 1.0, 8)
        await task
        return answers

    answers = asyncio.run(run())
    versions = [json.loads(answer.body).get("version") for answer in answers]
    swaps = sum(one != other for one, other in itertools.pairwise(versions))
    print(f"200 promotions: rows {dict(bench.check(answers))}; {Counter(versions)}, {swaps} changes between answers")


def measure(model: str, seconds: float, rounds: int, soak_minutes: int) -> None:
    """Measure one model."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(model, Path(folder))
        if soak_minutes:
            with running(bench) as server:
                soak(bench, server, soak_minutes)
            return
        with running(bench) as server:
            idle(bench, server, 200 if bench.case.small else 40)
            capacity = rates(bench, server, seconds, rounds)
            table(bench, server, seconds)
            promotions(bench, server, max(seconds, 10.0))
        with running(bench, "--max-wait", str(MAX_WAIT)) as server:
            for _ in range(rounds):
                overload(bench, server, capacity, max(seconds, 4 * MAX_WAIT))


@contextmanager
def running(bench: Bench, *options: str) -> Iterator[Server]:
    """Run a service that is warm and keeps its prefixes; print how it ends."""
    server = Server(bench.registry, f"starter:{bench.model}", *options)
    size = ROWS_IN_A_LIST if bench.case.small else 1
    try:
        for rows in (endless(bench.rows(PROMPTS)), endless(bench.rows(1), size)):
            asyncio.run(closed_loop(server.port, rows, 2.0, CLIENTS))
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
    parser.add_argument("--soak", type=int, default=0, metavar="MINUTES")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    use_core(1)
    for model in options.models:
        measure(model, options.seconds, options.rounds, options.soak)


if __name__ == "__main__":
    main()
