"""Rows of requests: examples as JSON, and their division among requests."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from numbers import Number
from typing import Any, TypeAlias

from softcloze.client.answers import Answer, failed_row
from softcloze.errors import DataError, ParameterError

Example: TypeAlias = str | Mapping[str, Any]

LONGEST_PROMPT = 200  # characters of a reference


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a request: its index among all rows, its prompt, and its JSON."""

    index: int
    prompt: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """The rows and the bytes that a request may have."""

    rows: int
    bytes: int


def validate_prompt(prompt: object) -> str:
    """Return the reference of a prompt.

    Raises:
        ParameterError: it is none, as in "reviews", "reviews@canary" or "reviews@3".
    """
    if not isinstance(prompt, str) or not 0 < len(prompt) <= LONGEST_PROMPT or not prompt.isprintable():
        raise ParameterError(
            f"prompt={prompt!r:.80}, but it has to be the name of a prompt, as in 'reviews', 'reviews@canary' or "
            "'reviews@3'"
        )
    return prompt


def encode(example: object, **others: object) -> bytes:
    r"""The JSON of a row: its text or fields, and other entries.

    NaN, which stands for a missing value, becomes null. Numbers and arrays of numpy become those of JSON.

    Raises:
        DataError: it is neither a text nor a mapping of fields, or JSON has no such value.

    >>> encode("很好", prompt_id="reviews")
    b'{"text": "\\u5f88\\u597d", "prompt_id": "reviews"}'
    """
    if isinstance(example, str):
        entry: dict[str, object] = {"text": str(example)}
    elif isinstance(example, Mapping):
        entry = {"fields": example}
    else:
        raise DataError(f"expected a text or a mapping of fields, found {type(example).__name__}")
    try:
        return json.dumps(
            {key: _as_json(value) for key, value in {**entry, **others}.items()}, allow_nan=False
        ).encode()
    except RecursionError as error:
        raise DataError("the fields are nested too deeply, or contain themselves") from error
    except ValueError as error:
        raise error if isinstance(error, DataError) else DataError(f"the fields are not JSON: {error}") from error


def _as_json(value: Any) -> object:  # noqa: ANN401 - any value may come
    """The value with types of JSON alone."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return None if math.isnan(value) else float(value)
        case Mapping():
            if names := [name for name in value if not isinstance(name, str)]:
                raise DataError(f"the names of fields have to be text, found {type(names[0]).__name__}")
            return {str(name): _as_json(item) for name, item in value.items()}
        case list() | tuple():
            return [_as_json(item) for item in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        # of 32 bits, 0.1 stays 0.1
        return _as_json(float(str(value)) if isinstance(value.tolist(), float) else value.tolist())
    if isinstance(value, Number):
        return str(value)
    raise DataError(f"a field has a value that JSON has not: {type(value).__name__}")


def divide(examples: Iterable[Example], prompt: str | Sequence[str], limits: Limits) -> Iterator[list[Row | Answer]]:
    """Divide rows among requests, in their order.

    Args:
        examples: texts or mappings of fields.
        prompt: of all rows, or of each.
        limits: of a request.

    Yields:
        The rows of a request. In place of one that cannot be sent, its answer with an error.

    Raises:
        DataError: the examples are a single one, or their number is not that of the prompts.
        ParameterError: a prompt is no reference.
    """
    if isinstance(examples, str | Mapping):
        raise DataError(
            f"expected a list of examples, found {type(examples).__name__}; classify and generate take a single one"
        )
    part: list[Row | Answer] = []
    size = 0
    for index, (example, name) in enumerate(_pairs(examples, prompt)):
        row = _row(index, example, name, limits)
        added = len(row.content) + 1 if isinstance(row, Row) else 0
        if part and (len(part) == limits.rows or size + added > limits.bytes):
            yield part
            part, size = [], 0
        part.append(row)
        size += added
    if part:
        yield part


def _pairs(examples: Iterable[Example], prompt: str | Sequence[str]) -> Iterable[tuple[Example, str]]:
    """Each example with its prompt."""
    if isinstance(prompt, str) or not isinstance(prompt, Sequence):
        reference = validate_prompt(prompt)
        return ((example, reference) for example in examples)
    if not isinstance(examples, Sized) or len(examples) != len(prompt):
        number = len(examples) if isinstance(examples, Sized) else "an unknown number of"
        raise DataError(f"prompt has {len(prompt)} names for {number} examples; give one for each, or one for all")
    return zip(examples, map(validate_prompt, prompt), strict=True)


def _row(index: int, example: Example, prompt: str, limits: Limits) -> Row | Answer:
    """A row, or the answer to one that cannot be sent."""
    try:
        content = encode(example, prompt_id=prompt)
    except DataError as error:
        return failed_row(prompt, str(error), "row")
    if len(content) > limits.bytes:
        problem = f"the row has {len(content):,} bytes as JSON, and a request takes {limits.bytes:,}"
        return failed_row(prompt, problem, "too_large")
    return Row(index, prompt, content)
