"""Read and validate the field values of an example."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral, Number
from os import PathLike
from typing import cast
from unicodedata import normalize

from softcloze.errors import FieldError
from softcloze.formatting import html_hint, is_boolean, is_missing, missing_field, quoted_list, replace_surrogates

MAX_LIST_DEPTH = 8  # of nested lists
_ABSENT = "drop the row or give it a text, if only an empty one"


def read_fields(
    fields: Sequence[str],
    variables: Collection[str],
    example: str | Mapping[str, object],
    row: int | None = None,
    lists: Collection[str] = (),
) -> dict[str, object]:
    """Read the field values of an example.

    A string is the value of the only field. A mapping must have every field and may have more. Numbers become
    text by `str`. Surrogates, which tokenizers reject, become U+FFFD. Nothing else changes.

    The template decides about `variables`, the fields that Jinja reads. They may be missing, and may be text, a
    number, a truth value, None or a list of these. Their numbers stay numbers, tuples and arrays become lists, and NaN
    (a missing value) becomes None.

    Args:
        fields: names of the fields to read.
        variables: those of `fields` that Jinja reads.
        example: the text of the only field, or a mapping from field names to values.
        row: index of the example, for error messages.
        lists: those of `fields` that hold lists of texts, for <options field=…>.

    Raises:
        FieldError: a field is missing, has no value, or has a value of an unsupported type.

    >>> read_fields(["title", "text"], (), {"title": 1984, "text": "Read it.", "label": 1})
    {'title': '1984', 'text': 'Read it.'}
    >>> read_fields(["stars", "text"], ["stars"], {"text": "好看", "stars": 5})
    {'stars': 5, 'text': '好看'}
    """
    where = "" if row is None else f"row {row}: "
    if isinstance(example, str):
        if len(fields) != 1:
            has = f"has the fields {quoted_list(fields)}" if fields else "has no fields"
            problem = f"a plain string fills one field, but the template {has}: pass a mapping instead"
            raise FieldError(f"{where}{problem}{html_hint(fields)}")
        if lists:
            raise FieldError(f"{where}field {fields[0]!r} must be a list of texts, found str")
        return {fields[0]: replace_surrogates(example)}
    if len(fields) == 1 and (isinstance(example, Number) or is_boolean(example) or is_missing(example)):
        example = {fields[0]: example}  # a value of a column is read as in a frame
    if not isinstance(example, Mapping):
        hint = "; decode it, as in text.decode()" if isinstance(example, bytes) else ""
        hint = "; read the file, as in path.read_text()" if isinstance(example, PathLike) else hint
        raise FieldError(f"{where}expected a string or a mapping of fields, found {type(example).__name__}{hint}")
    values: dict[str, object] = {}
    for name in fields:
        key = find_name(name, example)
        if key is not None:
            convert = read_choices if name in lists else _plain if name in variables else _text
            values[name] = convert(example[key], f"{where}field {name!r}")
        elif name not in variables:
            raise FieldError(where + missing_field(name, example))
    return values


def read_choices(value: object, where: str) -> list[str]:
    """Read a list of texts, such as the choices of a question.

    Args:
        value: a list, a tuple or an array of texts or numbers.
        where: subject of messages, such as "field 'choices'".

    Raises:
        FieldError: it is no list, has fewer than two items, or one that is no text or blank.

    >>> read_choices(("tea", 7), "field 'choices'")
    ['tea', '7']
    """
    if getattr(value, "ndim", 0) and hasattr(value, "tolist"):  # of numpy, as in Parquet files that pandas reads
        value = [*cast(Iterable[object], value)]
    if not isinstance(value, list | tuple):
        raise FieldError(f"{where} must be a list of texts, found {type(value).__name__}")
    choices = [_text(item, f"{where}, item {i}") for i, item in enumerate(value)]
    if len(choices) < 2:
        raise FieldError(f"{where} has {len(choices)} items; expected two or more to choose from")
    for i, choice in enumerate(choices):
        if not choice.strip():
            raise FieldError(f"{where}, item {i}, is blank; expected text")
    return choices


def find_name(name: str, names: Collection[object]) -> str | None:
    r"""The spelling of `name` among `names`, which may have another Unicode form; None if it is not among them.

    >>> find_name("caf\u00e9", ["text", "cafe\u0301"]) == "cafe\u0301"
    True
    """
    if name in names:
        return name
    form = normalize("NFC", name)
    return next((other for other in names if isinstance(other, str) and normalize("NFC", other) == form), None)


def _text(value: object, where: str) -> str:
    """Convert the value of a field that only tags use."""
    match value:
        case str():
            return replace_surrogates(value)
        case _ if is_missing(value):
            kind = "None" if value is None else "NaN, a missing value"
            raise FieldError(f"{where} is {kind}: {_ABSENT}")
        case Number():
            return _written(value, where)
        case _ if is_boolean(value):
            return str(value)
        case _:
            raise FieldError(f"{where} must be text or a number, found {type(value).__name__}")


def _plain(value: object, where: str, levels: int = MAX_LIST_DEPTH) -> object:
    """Convert the value of a field that Jinja reads to built-in types."""
    if getattr(value, "ndim", 0) and hasattr(value, "tolist"):  # of numpy, as in Parquet files that pandas reads
        value = [*cast(Iterable[object], value)]
    match value:
        case _ if is_boolean(value):
            return bool(value)
        case str():
            return replace_surrogates(value)
        case _ if is_missing(value):
            return None
        case Integral():
            _written(value, where)
            return int(value)
        case Number():
            text = _written(value, where)
            try:
                return float(text)
            except ValueError:  # a fraction or a complex number
                return text
        case list() | tuple():
            if not levels:
                raise FieldError(f"{where} has lists within lists deeper than {MAX_LIST_DEPTH} levels")
            return [_plain(item, f"{where}, item {i}", levels - 1) for i, item in enumerate(value)]
        case _:
            expected = "text, a number, a truth value, None or a list of such"
            raise FieldError(f"{where} must be {expected}, found {type(value).__name__}")


def _written(number: Number, where: str) -> str:
    try:
        return str(number)
    except ValueError as error:  # an int with thousands of digits
        raise FieldError(f"{where} is a number that cannot be written: {error}") from error
