"""The shape of data read from a file, declared as types and checked by one function."""

from collections.abc import Iterable
from functools import cache
from reprlib import repr as shortened
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from softcloze.formatting import quoted_list

_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
_NAMES |= {list: "a list", tuple: "a list", dict: "a table"}


def check_shape(value: object, shape: Any, key: str) -> str | None:  # noqa: ANN401 - a type or a form of typing
    """Check data that JSON holds against a type.

    Args:
        value: the data.
        shape: `str`, `int`, `float`, `bool`, `None`, `object` (anything), `list[...]`, `dict[str, ...]`,
            `tuple[...]` (a list of this length), `Literal[...]`, a union, a `TypedDict` (with total=False it takes
            other keys as well), or `Annotated[..., constraint]`.
        key: name of the value in the result.

    Returns:
        The first problem, or None.

    >>> check_shape({"words": [["a", 5]]}, dict[str, list[tuple[str, str]]], "card")
    'card.words[0][1] is 5; expected text'
    """
    origin, arguments = get_origin(shape), get_args(shape)
    if shape is object:
        return None
    if origin is Annotated:
        constraint = shape.__metadata__[0]
        return None if constraint.holds(value) else f"{key} is {shortened(value)}; expected {constraint.expected}"
    if origin in (Union, UnionType):
        problems = {option: check_shape(value, option, key) for option in arguments}
        if None in problems.values():
            return None
        return _first(problem for option, problem in problems.items() if _has_tag(value, option)) or _unexpected(
            value, shape, key
        )
    if is_typeddict(shape):
        return _check_table(value, shape, key)
    kind = origin or (NoneType if shape is None else shape)
    if kind is Literal:
        return None if any(value == option for option in arguments) else _unexpected(value, shape, key)
    kinds: Any = {float: (float, int), tuple: list}.get(kind, kind)
    is_too_large = kind is float and isinstance(value, int) and abs(value) > 2**53  # not every such integer is a float
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool) or is_too_large:
        return _unexpected(value, shape, key)
    if isinstance(value, dict):
        problem = _first(check_shape(name, arguments[0], f"a key of {key}") for name in value)
        return problem or _first(check_shape(item, arguments[1], f"{key}.{name}") for name, item in value.items())
    if isinstance(value, list):
        items = arguments if kind is tuple else arguments * len(value)
        if len(items) != len(value):
            return f"{key} has {len(value)} items; expected {len(items)}"
        pairs = enumerate(zip(value, items, strict=True))
        return _first(check_shape(item, of_item, f"{key}[{i}]") for i, (item, of_item) in pairs)
    return None


def _check_table(value: object, shape: Any, key: str) -> str | None:  # noqa: ANN401
    """Check a table whose keys a TypedDict declares."""
    if not isinstance(value, dict):
        return _unexpected(value, dict, key)
    types = _types(shape)
    if missing := sorted(shape.__required_keys__ - value.keys()):
        return f"{key} lacks {quoted_list(missing)}"
    if (others := sorted(value.keys() - types.keys())) and shape.__total__:
        return f"{key} has {quoted_list(others)}, which it does not take"
    return _first(check_shape(value[name], types[name], f"{key}.{name}") for name in value if name in types)


def _has_tag(value: object, shape: Any) -> bool:  # noqa: ANN401
    """Return True if `shape` declares a table whose literal keys are those of `value`, as "kind" may be."""
    if not is_typeddict(shape) or not isinstance(value, dict):
        return False
    tags = {name: get_args(kind) for name, kind in _types(shape).items() if get_origin(kind) is Literal}
    return bool(tags) and all(value.get(name) in options for name, options in tags.items())


@cache
def _types(shape: Any) -> dict[str, Any]:  # noqa: ANN401
    return get_type_hints(shape, include_extras=True)


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)


def _unexpected(value: object, shape: Any, key: str) -> str:  # noqa: ANN401
    return f"{key} is {shortened(value)}; expected {_describe(shape)}"


def _describe(shape: Any) -> str:  # noqa: ANN401
    if get_origin(shape) is Literal:
        return " or ".join(map(repr, get_args(shape)))
    if get_origin(shape) in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_describe, get_args(shape))))
    if get_origin(shape) is Annotated:
        return str(shape.__metadata__[0].expected)
    return "a table" if is_typeddict(shape) else _NAMES[get_origin(shape) or shape]
