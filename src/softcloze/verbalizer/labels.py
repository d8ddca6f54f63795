"""Labels: the values that are labels, and their conversion to plain strings, integers and truth values."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import Any, SupportsInt, TypeGuard, cast

from softcloze.errors import DataError, VerbalizerError
from softcloze.formatting import is_missing, one_line, quoted

Label = str | int
KINDS = "labels must all be str or all be int"


def as_label(value: Any, where: str = "a label") -> Label:  # noqa: ANN401 - any value may come
    """Convert a label of numpy, pandas or an enum to a plain string, integer or truth value.

    Text stays as it is, white space included. A whole number of floating point, which pandas makes of integers where
    a column has missing values, is the integer: in scikit-learn as well 1.0 and 1 are one label. Members of `StrEnum`,
    `IntEnum` and other enums of text or integers are their values, which they equal.

    Args:
        value: the label.
        where: subject of messages, such as "row 3".

    Raises:
        DataError: `value` is missing, blank, or of another type.

    >>> import numpy as np
    >>> as_label(np.int64(1)), as_label(1.0), as_label(np.True_), as_label(" good")
    (1, 1, True, ' good')
    >>> as_label(float("nan"), "row 3")
    Traceback (most recent call last):
    softcloze.errors.DataError: row 3 has the label nan, a missing value: drop it or label it
    """
    is_time = type(value).__name__ in ("datetime64", "timedelta64")  # of which item() is a number
    if getattr(value, "ndim", None) == 0 and not is_time:  # of numpy, torch
        value = value.item()
    if isinstance(value, str):
        text = str.__str__(value)  # of an enum the value, not the name
        if not text.strip():
            raise DataError(f"{where} has the label {text!r}, blank text: drop it or label it")
        if text.endswith("\0"):
            raise DataError(
                f"{where} has the label {quoted(text)}, and arrays of numpy drop its last character; remove it"
            )
        return text
    if is_missing(value):
        raise DataError(f"{where} has the label {value!r}, a missing value: drop it or label it")
    if isinstance(value, bool):
        return value
    is_number = isinstance(value, Real) or (isinstance(value, Decimal) and abs(value) < 2**63)  # of databases
    if is_number and not is_time and value == value // 1:
        number = int(cast(SupportsInt, value))
        if not -(2**63) <= number < 2**63:  # numpy makes floats of it beside smaller ones
            raise DataError(f"{where} has an integer of more than 64 bits as a label; write it as text")
        return number
    hint = f"; take its value, as in {type(value).__name__}.{value.name}.value" if isinstance(value, Enum) else ""
    if isinstance(value, bytes):
        hint = "; decode it, as in label.decode()"
    raise DataError(f"{where} has the label {quoted(value, 60)} of type {type(value).__name__}; {KINDS}{hint}")


def validate_one_kind(labels: Iterable[Label], where: str) -> None:
    """Raise if labels mix text, integers and truth values, which cannot be compared.

    Raises:
        DataError: names one label of each of two kinds; `where` describes the labels.

    >>> validate_one_kind([1, "good"], "y")
    Traceback (most recent call last):
    softcloze.errors.DataError: labels must all be str or all be int, and y has 1 (int) and 'good' (str)
    """
    examples: dict[type, Label] = {}
    for label in labels:
        examples.setdefault(type(label), label)
    if len(examples) > 1:
        (kind, label), (other_kind, other), *_ = examples.items()
        raise DataError(f"{KINDS}, and {where} has {label!r} ({kind.__name__}) and {other!r} ({other_kind.__name__})")


def is_collection(value: object) -> TypeGuard[Iterable[Any]]:
    """Return True for what is read one by one: not for text, and not for an array of no dimension.

    >>> import numpy as np
    >>> is_collection(["good"]), is_collection("good"), is_collection(np.array("good"))
    (True, False, False)
    """
    return isinstance(value, Iterable) and not isinstance(value, str | bytes) and getattr(value, "ndim", 1) > 0


def validate_labels(labels: Iterable[object]) -> list[Label]:
    """Convert the labels of a verbalizer to plain ones, in their order; raise VerbalizerError as `as_label`."""
    try:
        plain = [as_label(label, "a verbalizer") for label in labels]
        validate_one_kind(plain, "a verbalizer")
    except DataError as error:
        raise VerbalizerError(str(error)) from error
    return plain


def sort_labels(table: Mapping[Any, Any]) -> dict[Label, Any]:
    """A table of a verbalizer with plain labels, sorted as in scikit-learn.

    Raises:
        VerbalizerError: fewer than two labels, or as of `validate_labels`.

    >>> import numpy as np
    >>> sort_labels({np.int64(1): "good", np.int64(0): "bad"})
    {0: 'bad', 1: 'good'}
    """
    if not isinstance(table, Mapping) or len(table) < 2:
        raise VerbalizerError(f"a verbalizer maps at least two labels to words, got {one_line(quoted(table, 200))}")
    plain = dict(zip(validate_labels(table), table.values(), strict=True))
    return {label: plain[label] for label in sorted(plain)}
