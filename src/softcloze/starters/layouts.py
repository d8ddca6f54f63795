"""How each package writes its labelled texts down."""

import csv
from collections.abc import Iterator
from pathlib import Path

from softcloze.starters.catalogue import StarterData

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
