"""Encode examples so that one that cannot be encoded does not keep the others from it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from softcloze.data import Example
from softcloze.errors import EncodingError, FieldError, SoftclozeError, TemplateLogicError

Encoded = TypeVar("Encoded")
ROW_ERRORS = (FieldError, EncodingError, TemplateLogicError)  # of one example alone


def encode_each(
    encode: Callable[[Sequence[Example]], Sequence[Encoded]],
    examples: Sequence[Example],
    errors: tuple[type[SoftclozeError], ...] = ROW_ERRORS,
) -> list[Encoded | SoftclozeError]:
    """Encode examples; in place of one that cannot be encoded, return the error.

    Args:
        encode: encodes any number of examples, and raises if it cannot encode one.
        examples: any values; one of another type cannot be encoded.
        errors: the errors that are returned; all others are raised.

    Returns:
        The encoded examples in order. Errors name no row and hold no traceback.
    """
    try:
        return [*encode(examples)]
    except errors as error:
        if len(examples) == 1:  # its index among these examples is not that in the input
            problem, *others = error.args
            return [type(error)(str(problem).removeprefix("row 0: "), *others)]
    middle = len(examples) // 2  # halves, until the bad example is alone
    return encode_each(encode, examples[:middle], errors) + encode_each(encode, examples[middle:], errors)
