"""One process beside two: rows labelled by softcloze predict, actors of Ray and shards, and a fit under torchrun.

    python -m benchmarks.scaling [--rows 50000] [--steps 4] [--quick]

in an environment with softcloze[ray]; every process has one thread of torch. The rows are short reviews and tweets of
the starters, labelled by BERT-tiny; the fit is of SmolLM2-135M on texts of 512 tokens. Labels and order of every way
are compared with those of softcloze predict. Beside the clock the table has processor seconds of all processes, which
other work on the machine changes less. Files, reading and joining are measured too, as 100 machines meet them. With
--quick there are a tenth of the rows and one step, which shows whether all runs; the speeds of so few batches mean
nothing.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, cycle, islice
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow
import pyarrow.parquet

BATCH = 512  # rows of an actor's batch: small, so that the first one that arrives is a small part of all
TOKENS = 512
EXAMPLES = 8  # of a step of the fit


class Run(NamedTuple):
    """One way to do the work.

    Attributes:
        start: seconds until the first rows, or step, are done.
        seconds: on the clock from there to the end.
        amount: rows, or steps, done in these.
        processor: seconds of processors in all processes, with the start.
    """

    start: float
    seconds: float
    amount: int
    processor: float


class Meter:
    """Processor seconds of a process and its descendants, some of which end earlier: the last that was seen of each."""

    def __init__(self, pid: int):
        self._used: dict[tuple[int, float], float] = {}
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            with suppress(psutil.Error):
                for process in [self._process, *self._process.children(recursive=True)]:
                    with suppress(psutil.Error):
                        times = process.cpu_times()
                        self._used[process.pid, process.create_time()] = times.user + times.system

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """The sum over all processes."""
        return sum(self._used.values())


def write_rows(folder: Path, count: int) -> None:
    """Rows in groups of a batch, and the prompt that labels them."""
    from softcloze import PromptClassifier
    from softcloze.starters import load_data

    texts = chain.from_iterable(load_data(name).train.texts for name in ("movie-reviews", "tweets-3"))
    short = [text for text in texts if len(text) <= 100]
    rows = pyarrow.table({"id": range(count), "text": list(islice(cycle(short), count))})
    pyarrow.parquet.write_table(rows, folder / "rows.parquet", row_group_size=BATCH)
    words = {"positive": "good", "negative": "bad"}
    PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words).save(folder / "prompt")


def rows_in(journal: Path) -> int:
    """The rows that a run has saved."""
    with suppress(FileNotFoundError), journal.open(encoding="utf-8") as file:
        return sum(len(json.loads(line)) for line in list(file)[1:] if line.endswith("\n"))
    return 0


def predict(folder: Path, shards: int) -> Run:
    """Softcloze predict, in a process for each shard; the clock begins when all of them have rows."""
    command = [sys.executable, "-m", "softcloze", "predict", "rows.parquet", "--prompt", "prompt"]
    if shards == 1:
        commands, journals = [[*command, "--out", "whole.parquet"]], [folder / "whole.parquet.part"]
    else:
        numbers = range(1, shards + 1)
        commands = [[*command, "--out", "joined.parquet", "--shard", f"{number}/{shards}"] for number in numbers]
        journals = [folder / f"joined.parquet.{number}-of-{shards}.part" for number in numbers]
    total = pyarrow.parquet.read_metadata(folder / "rows.parquet").num_rows
    began, before = time.perf_counter(), children_seconds()
    processes = [
        subprocess.Popen(each, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for each in commands
    ]
    while not all(map(rows_in, journals)) and any(process.poll() is None for process in processes):
        time.sleep(0.02)
    started, done = time.perf_counter(), sum(map(rows_in, journals))
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"failed: {commands}")
    return Run(started - began, time.perf_counter() - started, total - done, children_seconds() - before)


def children_seconds() -> float:
    """Processor seconds of all processes that this one has waited for, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_script(command: list[str], folder: Path) -> Run:
    """A way in a process of its own, which prints start, seconds and amount."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with Meter(process.pid) as meter:
        lines = process.communicate()[0].splitlines()
    if process.returncode or not lines:
        raise SystemExit(f"failed: {command}")
    return Run(*json.loads(lines[-1]), meter.seconds)


def ray(folder: Path, actors: int) -> Run:
    """Actors of Ray, half a logical processor each."""
    return of_script([sys.executable, "-m", "benchmarks.scaling", "--ray", str(actors)], folder)


def label_with_ray(actors: int) -> None:
    """Label the rows of the working folder, write ray-N.parquet, and print start, seconds and rows."""
    began = time.perf_counter()
    import ray

    from softcloze import BatchScorer
    from softcloze.integrations.ray import score_with_ray

    ray.init(num_cpus=3, include_dashboard=False, object_store_memory=300_000_000, logging_level="error")
    rows = ray.data.read_parquet(str(Path.cwd() / "rows.parquet"))
    scored = score_with_ray(rows, BatchScorer("prompt", threads=1), actors=actors, num_cpus=0.5, batch_size=BATCH)
    batches, started = [], 0.0
    for batch in scored.iter_batches(batch_size=BATCH, batch_format="pyarrow"):
        batches.append(batch)
        started = started or time.perf_counter()
    ended, table = time.perf_counter(), pyarrow.concat_tables(batches)
    pyarrow.parquet.write_table(table, f"ray-{actors}.parquet")
    print("\n" + json.dumps([started - began, ended - started, len(table) - len(batches[0])]))


def fit(folder: Path, processes: int, steps: int) -> Run:
    """A fit under torchrun."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return of_script([*launcher, "--module", "benchmarks.scaling", "--fit", str(steps)], folder)


def fit_on_long_texts(steps: int) -> None:
    """Fit soft vectors on texts of 512 tokens; the first process prints start, seconds and steps."""
    began = time.perf_counter()
    from softcloze import PromptClassifier
    from softcloze.starters import load_data
    from softcloze.training import TrainingSettings

    examples = load_data("movie-reviews").train
    texts = [" ".join(islice(cycle(examples.texts[i:]), 60)) for i in range(EXAMPLES)]
    labels = ["negative", "positive"] * (EXAMPLES // 2)
    words, times = {"positive": "good", "negative": "bad"}, list[float]()
    settings = TrainingSettings(target_loss=0.0, on_step=lambda *_: times.append(time.perf_counter()))
    clf = PromptClassifier(
        "starter:smollm2-135m",
        "<soft*10> <text> It was <mask>.",
        words,
        epochs=steps + 1,
        batch_size=EXAMPLES,
        max_length=TOKENS,
        training=settings,
        random_state=0,
    )
    clf.fit(texts, labels)
    if int(os.environ["RANK"]) == 0:
        print("\n" + json.dumps([times[0] - began, times[-1] - times[0], len(times) - 1]))


def differences(folder: Path, name: str) -> str:
    """A comparison with softcloze predict: rows whose label or id differs, and the largest difference otherwise."""
    expected = pyarrow.parquet.read_table(folder / "whole.parquet")
    found = pyarrow.parquet.read_table(folder / name)
    found = found.rename_columns(["predicted" if column == "label" else column for column in found.column_names])
    same = found.select(["id", "predicted"]) == expected.select(["id", "predicted"])
    probabilities = [column for column in expected.column_names if column.startswith("probability_")]
    largest = max(
        abs(one - other)
        for column in probabilities
        for one, other in zip(found[column].to_pylist(), expected[column].to_pylist(), strict=True)
    )
    return f"ids and labels in order {'the same' if same else 'DIFFERENT'}, probabilities within {largest:.1g}"


def seconds_of(work: Callable[[], object]) -> float:
    """Processor seconds of this process and of those that it waits for."""
    before = time.process_time() + children_seconds()
    work()
    return time.process_time() + children_seconds() - before


def print_run(name: str, run: Run, base: Run, unit: str) -> None:
    """A row of the table, beside the run in one process."""
    speed, times = run.amount / run.seconds, (run.amount / run.seconds) / (base.amount / base.seconds)
    print(
        f"| {name} | {run.start:.1f} | {run.seconds:.1f} | {speed:,.3g} {unit} | {times:.2f} | {run.processor:.1f} |",
        flush=True,
    )


def measure(rows: int, steps: int) -> None:
    """Print all tables."""
    from softcloze.cli.input_files import open_table
    from softcloze.cli.input_identity import InputIdentity

    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "TOKENIZERS_PARALLELISM": "false"}
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - of 15 by default, which a busy machine would measure
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)])
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{time.strftime('%d %B %Y %H:%M')}, {os.cpu_count()} cores, load {load}; {rows:,} rows\n")
    print("| way | start, s | clock, s | speed | beside one process | processor, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, rows)
        whole = predict(folder, 1)
        print_run("softcloze predict", whole, whole, "rows/s")
        print_run("`--shard` 1/2 and 2/2", predict(folder, 2), whole, "rows/s")
        one = ray(folder, 1)
        print_run("1 actor of Ray", one, one, "rows/s")
        print_run("2 actors of Ray", ray(folder, 2), one, "rows/s")
        single = fit(folder, 1, steps)
        print_run("fit in 1 process", single, single, "steps/s")
        print_run("fit in 2 processes", fit(folder, 2, steps), single, "steps/s")

        join = [sys.executable, "-m", "softcloze", "join", "rows.parquet", "--out", "joined.parquet"]
        joining = seconds_of(lambda: subprocess.run(join, cwd=folder, check=True, capture_output=True))
        print("\nsoftcloze predict beside")
        for way, file in {"shards": "joined.parquet", "1 actor": "ray-1.parquet", "2 actors": "ray-2.parquet"}.items():
            print(f"- {way}: {differences(folder, file)}")
        opening = statistics.median(seconds_of(lambda: open_table(folder / "rows.parquet")) for _ in range(3))
        table = open_table(folder / "rows.parquet")
        digest = statistics.median(seconds_of(lambda: InputIdentity(table.source).facts()) for _ in range(3))
        size = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
        parts = sum(path.stat().st_size for path in folder.glob("joined.parquet.*.part"))
    print("\nfor each million rows")
    of_million = 1_000_000 / rows
    for what, amount, unit in (
        ("input, Parquet", size["rows.parquet"] / 1e6, "MB"),
        ("results of all shards", parts / 1e6, "MB"),
        ("output, Parquet", size["joined.parquet"] / 1e6, "MB"),
        ("opening the input: its columns and rows", opening, "processor s"),
        ("checksum of the input", digest, "processor s"),
        ("softcloze join, with its start", joining, "processor s"),
    ):
        print(f"- {what}: {amount * of_million:,.3g} {unit}")


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--steps", type=int, default=4, help="of the fit, after a first one")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows and one step, to see that it runs")
    parser.add_argument("--ray", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fit", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ray is not None:
        label_with_ray(arguments.ray)
    elif arguments.fit is not None:
        fit_on_long_texts(arguments.fit)
    elif arguments.quick:
        measure(arguments.rows // 10, 1)
    else:
        measure(arguments.rows, arguments.steps)


if __name__ == "__main__":
    main()
