"""Read the rows of JSON: an object on each line, or an array of objects."""

import json
import math
from collections.abc import Iterator
from itertools import chain

from softcloze.cli.delimited import Line
from softcloze.cli.file_format import Source
from softcloze.errors import FileError
from softcloze.files import unique_keys
from softcloze.formatting import quoted

NESTING = 100  # levels of lists and objects


def read_json_lines(source: Source) -> Iterator[Line]:
    """Read the object on each line with the number of the line, or the error of a line that has none."""
    with source.open_text() as file:  # any line end: neither stands in the strings of JSON
        for number, line in enumerate(file, start=1):
            text = line.lstrip("\ufeff").strip()
            if not text:
                continue
            try:
                row = _parse(text)
                if text.count("[") + text.count("{") > NESTING:
                    _validate_depth(row)
            except (ValueError, RecursionError) as error:
                reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
                yield number, FileError(f"{source}, line {number}: not JSON: {reason}")
                continue
            yield number, _as_row(row, f"{source}, line {number}", text)


def read_json_array(source: Source) -> Iterator[Line]:
    """Read the objects of an array with their numbers, counted from 1, or the error of an item that is none.

    The whole array is in memory.

    Raises:
        FileError: it is not JSON, or another value; names the line.
    """
    with source.open_text() as file:
        text = file.read().lstrip("\ufeff")
    try:
        rows = _parse(text)
    except (ValueError, RecursionError) as error:
        place = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
        raise FileError(f"{source}{place}: not JSON: {reason}") from error
    if not isinstance(rows, list):
        raise FileError(f"{source}: expected an array of JSON objects, found {quoted(text[:60], 60)}")
    for number, row in enumerate(rows, start=1):
        try:
            _validate_depth(row)
        except ValueError as error:
            yield number, FileError(f"{source}, row {number}: {error}")
            continue
        written = "" if isinstance(row, dict) else json.dumps(row, ensure_ascii=False)
        yield number, _as_row(row, f"{source}, row {number}", written)


def _as_row(value: object, place: str, written: str) -> dict[str, object] | FileError:
    if isinstance(value, dict):
        return value
    return FileError(f"{place}: expected a JSON object, found {quoted(written[:60], 60)}")


def _parse(text: str) -> object:
    return json.loads(text, object_pairs_hook=unique_keys, parse_constant=_constant)


def _constant(name: str) -> float:
    """NaN, which Python writes for a missing number; raise ValueError for Infinity."""
    if name != "NaN":
        raise ValueError(f"{name} is not a number of JSON")
    return math.nan


def _validate_depth(value: object) -> None:
    """Raise ValueError for nesting that other code could not follow."""
    levels, inside = 0, [value]
    while inside:
        levels += 1
        if levels > NESTING:
            raise ValueError(f"lists and objects are nested deeper than {NESTING} levels")
        items = (item.values() if isinstance(item, dict) else item for item in inside if isinstance(item, dict | list))
        inside = [*chain.from_iterable(items)]
