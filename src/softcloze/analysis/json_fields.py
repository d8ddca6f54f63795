"""Generated JSON objects, field by field."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from softcloze.errors import DataError
from softcloze.formatting import quoted


class JsonRow(NamedTuple):
    """A generated text beside the JSON object that it should be.

    Attributes:
        is_valid: the text is a JSON object with the fields of the reference and no others.
        right: for each field of the reference, True if its value is the same; all are False if the text is no valid
            object.
    """

    is_valid: bool
    right: Mapping[str, bool]

    @property
    def share(self) -> float:
        """Share of the fields that are right; 1 for a valid object without fields."""
        return sum(self.right.values()) / len(self.right) if self.right else float(self.is_valid)


def json_rows(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[JsonRow]:
    """Compare generated texts with JSON objects; of several references the one with the largest share counts.

    Values are the same if they are written as the same JSON: 4 is neither "4" nor 4.0, and text counts to the letter.
    The order of fields and white space between them do not count.

    Raises:
        DataError: a reference is not a JSON object; names the row.

    >>> json_rows(['{"name": "Chen", "people": 4}'], [['{"people": 4, "name": "Chan"}']])
    [JsonRow(is_valid=True, right={'people': True, 'name': False})]
    """
    rows = []
    for at, (text, objects) in enumerate(zip(predictions, references, strict=True)):
        generated = _fields(text)
        candidates = []
        for reference in objects:
            fields = _fields(reference)
            if fields is None:
                raise DataError(f"row {at}: the reference {quoted(reference, 60)} is not a JSON object")
            is_valid = generated is not None and generated.keys() == fields.keys()
            right = {name: is_valid and generated[name] == value for name, value in fields.items()}  # type: ignore[index]
            candidates.append(JsonRow(is_valid, right))
        rows.append(max(candidates, key=lambda row: (row.is_valid, row.share)))
    return rows


def field_shares(rows: Sequence[JsonRow]) -> dict[str, float]:
    """Share of rows in which each field is right, among the rows whose reference has it.

    >>> field_shares(json_rows(['{"name": "Chen"}', "no"], [['{"name": "Chen"}'], ['{"name": "Li"}']]))
    {'name': 0.5}
    """
    names = dict.fromkeys(name for row in rows for name in row.right)
    by_field = {name: [row.right[name] for row in rows if name in row.right] for name in names}
    return {name: sum(right) / len(right) for name, right in by_field.items()}


def _fields(text: str) -> dict[str, str] | None:
    """The values of a JSON object, each as JSON with sorted keys; None if the text is no JSON object."""
    try:
        value = json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return {name: json.dumps(content, sort_keys=True) for name, content in value.items()}


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
