"""Time from a key to the next text while a person labels: real rows, read by a model once.

    python -m benchmarks.labelling FOLDER --keys 100 [--pool 5000]

FOLDER keeps the reading; a run that was stopped goes on with it. Answers go to a file on the disk of FOLDER.
"""

import os
import shutil
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.tasks.sets import TASKS
from softcloze.labelling import Labeller
from softcloze.labelling.learner import STATES

TASK, MODEL, LIMIT = "movie-reviews", "starter:smollm2-135m", 100.0  # limit in ms
STRATEGIES = ("random", "uncertain")
EVERY = 256  # texts, after which the reading is said


def measure_keys(folder: Path, keys: int, pool: int) -> None:
    """Read the rows, answer by their labels, and print the times; the model has one thread."""
    torch.set_num_threads(1)
    train = TASKS[TASK].split().train
    texts, truth = list(train.texts)[:pool], list(train.labels)[:pool]
    labels = sorted({*truth})
    reading = folder / "keys"
    said = [-EVERY]
    start = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if done - said[0] >= EVERY or done == total:
            said[0] = done
            print(f"read {done:,} of {total:,} after {time.perf_counter() - start:.0f} s, load {_load()}", flush=True)

    with Labeller(MODEL, texts, labels, folder=reading) as labeller:
        labeller.read(progress)
    print(f"{len(texts):,} texts of {TASK}, {MODEL}, one thread, {os.cpu_count()} cores")
    print(
        "| strategy | keys | median, ms | 95th percentile | longest | within 100 ms | processor time, median | load |"
    )
    print("| --- " * 8 + "|")
    for strategy in STRATEGIES:
        with TemporaryDirectory(dir=folder) as answers:
            shutil.copytree(reading / STATES, Path(answers) / STATES)
            at_once = strategy == "uncertain"  # the head is solved before the next text, as the command does
            with Labeller(MODEL, texts, labels, folder=answers, strategy=strategy, background=not at_once) as labeller:
                labeller.read()
                times, load = _times(labeller, truth, keys), _load()
        clock, work = ([1000 * pair[i] for pair in times] for i in (0, 1))
        late = sorted(clock)[int(0.95 * len(clock))]
        share = f"{sum(ms <= LIMIT for ms in clock) / len(clock):.0%}"
        print(
            f"| {strategy} | {len(clock)} | {statistics.median(clock):.1f} | {late:.1f} | {max(clock):.1f} | {share} "
            f"| {statistics.median(work):.1f} | {load} |",
            flush=True,
        )


def _times(labeller: Labeller, truth: list[str], keys: int) -> list[tuple[float, float]]:
    """Seconds by the clock and of the processor from each key to the next text, with what the terminal shows of it."""
    times = []
    (question,) = labeller.ask()
    for _ in range(keys):
        start, work = time.perf_counter(), time.thread_time()
        labeller.guess(question.index)
        labeller.tell(question.index, truth[question.index])
        (question,) = labeller.ask()
        labeller.counts()
        labeller.labelled()
        times.append((time.perf_counter() - start, time.thread_time() - work))
        time.sleep(0.2)  # a person reads
    return times


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"
