"""The field values of an example, as text."""

import re
from collections.abc import Mapping
from numbers import Number

from softcloze.template.errors import FieldError, did_you_mean, listed
from softcloze.template.template import Template

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_fields(template: Template, example: str | Mapping[str, object], row: int | None = None) -> dict[str, str]:
    """The text of each field of `template` that `example` holds.

    A string is the value of the only field; a mapping must have every field and may have more. Numbers become
    text by `str`, and surrogates, which no tokenizer takes, become U+FFFD; nothing else is changed.

    Args:
        template: the template whose fields are wanted.
        example: the only field's text, or a mapping from field to text or number.
        row: the example's number, for error messages.

    Raises:
        FieldError: a field is missing, has no value, or its value is neither text nor number.

    >>> read_fields(Template("<title>: <text> It was <mask>"), {"title": 1984, "text": "Read it.", "label": 1})
    {'title': '1984', 'text': 'Read it.'}
    """
    where = "" if row is None else f"row {row}: "
    fields = template.fields
    if isinstance(example, str):
        if len(fields) != 1:
            has = f"has the fields {listed(fields)}" if fields else "has no fields"
            raise FieldError(f"{where}a plain string fills one field, but the template {has}: pass a mapping instead")
        return {fields[0]: _text(example)}
    if not isinstance(example, Mapping):
        raise FieldError(f"{where}expected a string or a mapping of fields, found {type(example).__name__}")
    values: dict[str, str] = {}
    for name in fields:
        if name not in example:
            has = f"has {listed(example)}" if example else "is empty"
            raise FieldError(f"{where}no field {name!r}: the example {has}{did_you_mean(name, example)}")
        values[name] = _value(example[name], f"{where}field {name!r}")
    return values


def _value(value: object, where: str) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None:
        raise FieldError(f"{where} is None: drop the row or give it a text, if only an empty one")
    if not isinstance(value, Number):
        raise FieldError(f"{where} must be text or a number, found {type(value).__name__}")
    try:
        text = str(value)
    except ValueError as error:  # an int of thousands of digits
        raise FieldError(f"{where} is a number that cannot be written: {error}") from error
    if "nan" in text.casefold():
        raise FieldError(f"{where} is NaN, a missing value: drop the row or give it a text, if only an empty one")
    return text


def _text(value: str) -> str:
    return _SURROGATE.sub("\ufffd", str.__str__(value))  # the plain string also of a subclass
