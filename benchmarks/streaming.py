"""Memory and time of `softcloze predict` on a Parquet file of any length; memory should not grow with it.

Usage: python benchmarks/streaming.py [ROWS]

ROWS is 100,000 by default: short reviews and tweets of the starters, over and over, labelled by BERT-tiny with the hard
prompt `<text> It was <mask>.` The command runs in a process of its own. Whenever a tenth of the rows is safe on the
disk, a line tells its resident memory, and its speed so far.
"""

import json
import subprocess
import sys
import time
from itertools import chain, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pyarrow
import pyarrow.parquet

from softcloze import PromptClassifier
from softcloze.starters import load_data

LONGEST = 100  # characters


def reviews() -> list[str]:
    """Movie reviews and tweets from the starters."""
    texts = chain.from_iterable(load_data(name).train.texts for name in ("movie-reviews", "tweets-3"))
    return [text for text in texts if len(text) <= LONGEST]


def write_rows(path: Path, count: int) -> None:
    """A file of so many rows, all in one group, which is the worst case for reading a part of it."""
    texts = list(islice(cycle(reviews()), count))
    pyarrow.parquet.write_table(pyarrow.table({"id": range(count), "text": texts}), path, row_group_size=count)


def rows_done(journal: Path) -> int:
    """The number of rows saved to disk: those of the whole lines after the header of the journal."""
    try:
        with journal.open(encoding="utf-8") as file:
            return sum(len(json.loads(line)) for line in list(file)[1:] if line.endswith("\n"))
    except FileNotFoundError:
        return 0


def watch(process: psutil.Popen, journal: Path, count: int) -> None:
    """Print a line for each tenth of the rows, as a row of a Markdown table."""
    while not journal.exists() and process.poll() is None:
        time.sleep(0.05)
    started, told = time.perf_counter(), 0
    while process.poll() is None:
        done = rows_done(journal)
        if done >= (told + 1) * count // 10:
            told = done * 10 // count
            speed = done / (time.perf_counter() - started)
            print(f"| {done:,} | {process.memory_info().rss / 1e6:,.0f} MB | {speed:,.0f} |", flush=True)
        time.sleep(0.5)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 100_000
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file, prompt, out = folder / "rows.parquet", folder / "prompt", folder / "scores.parquet"
        clf = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", {"pos": ["good", "great"], "neg": "bad"})
        clf.save(prompt)
        write_rows(file, count)
        print(f"{count:,} rows, {file.stat().st_size / 1e6:,.1f} MB\n")
        print("| rows done | resident memory | rows/s |\n| --- | --- | --- |")
        command = "from softcloze.cli import main; main()"
        arguments = ["predict", file, "--prompt", prompt, "--out", out]
        started = time.perf_counter()
        with psutil.Popen([sys.executable, "-c", command, *map(str, arguments)], stdout=subprocess.DEVNULL) as process:
            watch(process, folder / f"{out.name}.part", count)
        print(f"\n{time.perf_counter() - started:,.0f} s from beginning to end; {out.stat().st_size / 1e6:,.1f} MB")


if __name__ == "__main__":
    main()
