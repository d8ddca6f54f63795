"""Parse the inside of `{{ }}` and `{% %}` with Jinja's parser; nothing else of Jinja is used.

The functions raise ExpressionError if the source does not parse.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.parser import Parser

from softcloze.formatting import abbreviate, quoted
from softcloze.template.jinja.filters import ExpressionError

_ENVIRONMENT = Environment()  # for parsing only
_ESCAPE = re.compile(r"\\([4-7][0-7]{2}|.)", re.DOTALL)
_KNOWN_ESCAPES = frozenset("\\'\"abfnrtvxuUN01234567\n")  # Python warns about others, and about octals beyond a byte
_T = TypeVar("_T")


def read_expression(source: str) -> nodes.Expr:
    """Parse an expression.

    >>> read_expression("text | trim")
    Filter(node=Name(name='text', ctx='load'), name='trim', args=[], kwargs=[], dyn_args=None, dyn_kwargs=None)
    """
    return _read(source, Parser.parse_expression)


def read_for(source: str) -> tuple[tuple[str, ...], nodes.Expr, nodes.Expr | None]:
    """Parse the text after `for`: the target names, the list, and the condition.

    >>> read_for("a, b in pairs if a")
    (('a', 'b'), Name(name='pairs', ctx='load'), Name(name='a', ctx='load'))
    """

    def read(parser: Parser) -> tuple[tuple[str, ...], nodes.Expr, nodes.Expr | None]:
        target = parser.parse_assign_target(extra_end_rules=("name:in",))
        parser.stream.expect("name:in")
        items = parser.parse_expression(with_condexpr=False)
        condition = parser.parse_expression() if parser.stream.skip_if("name:if") else None
        names = target.items if isinstance(target, nodes.Tuple) else [target]
        return tuple(_target(name) for name in names), items, condition

    return _read(source, read)


def read_set(source: str) -> tuple[str, nodes.Expr]:
    """Parse the text after `set`: the name and its value.

    >>> read_set("short = title")
    ('short', Name(name='title', ctx='load'))
    """

    def read(parser: Parser) -> tuple[str, nodes.Expr]:
        name = _target(parser.parse_assign_target(name_only=True))
        parser.stream.expect("assign")
        return name, parser.parse_expression()

    return _read(source, read)


def _target(node: nodes.Expr) -> str:
    if not isinstance(node, nodes.Name):
        raise ExpressionError(
            "only plain names can be set, as in {% set short = title | trim %} or {% for a, b in pairs %}"
        )
    if node.name == "loop":
        raise ExpressionError("'loop' counts the steps of a loop and cannot be set: take another name")
    return node.name


def _read(source: str, read: Callable[[Parser], _T]) -> _T:
    """Run `read` on all of `source`."""
    for escape in _ESCAPE.finditer(source):
        if escape[1] not in _KNOWN_ESCAPES:
            raise ExpressionError(f"unknown escape {quoted(escape[0])}: write a backslash as \\\\")
    try:
        parser = Parser(_ENVIRONMENT, source, state="variable")
        result = read(parser)
        parser.stream.expect("eof")
    except TemplateSyntaxError as error:
        said = " ".join((error.message or "").replace("end of template", "the end").split()).removesuffix(".")
        raise ExpressionError(f"cannot be read: {said[:1].lower()}{abbreviate(said[1:], 100)}") from None
    except RecursionError:
        raise ExpressionError("this is nested too deeply: {% set %} can give its pieces names") from None
    except ValueError as error:  # a number with thousands of digits
        raise ExpressionError(f"cannot be read: {abbreviate(str(error), 100)}") from None
    return result
