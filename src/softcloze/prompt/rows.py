"""Encode examples so that one that cannot be encoded does not keep the others from it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from softcloze.data import Example
from softcloze.errors import EncodingError, FieldError, SoftclozeError, TemplateLogicError

Encoded = TypeVar("Encoded")
ROW_ERRORS = (FieldError, EncodingError, TemplateLogicError)  # of one example alone


def encode_each(
    encode: Callable[[Sequence[Example]], Sequence[Encoded]], examples: Sequence[Example]
) -> list[Encoded | SoftclozeError]:
    """Encode examples; in place of one that cannot be encoded, return the error.

    Args:
        encode: encodes any number of examples, and raises if it cannot encode one.
        examples: any values; one of another type cannot be encoded.

    Returns:
        The encoded examples in order. Errors name no row and hold no traceback.
    """
    try:
        return [*encode(examples)]
    except ROW_ERRORS as error:
        if len(examples) == 1:  # its index among these examples is not that in the input
            return [type(error)(str(error).removeprefix("row 0: "))]
    middle = len(examples) // 2  # halves, until the bad example is alone
    return encode_each(encode, examples[:middle]) + encode_each(encode, examples[middle:])
