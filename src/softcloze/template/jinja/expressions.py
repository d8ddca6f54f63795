"""Compile a Jinja expression: from its syntax tree to a function that evaluates it.

Jinja parses the expression. Only the operations in this module can run, and no code is generated. Values are None,
truth values, numbers, text and lists, without attributes or calls, so no expression can reach other objects. Each
operation counts the length of its operands as work.
"""

from collections.abc import Callable, Mapping
from inspect import signature
from operator import add, eq, ge, gt, le, lt, ne, sub
from typing import NamedTuple

from jinja2 import nodes

from softcloze.formatting import abbreviate, did_you_mean, quoted_list, replace_surrogates
from softcloze.template.jinja.filters import (
    ACCEPT_MISSING,
    FILTERS,
    TESTS,
    ExpressionError,
    Missing,
    join_texts,
    type_name,
)
from softcloze.template.jinja.runtime import LOOP, Evaluate, Loop, Run, present, reader

MAX_DEPTH = 40  # of nested operators
_SIGNATURES = {name: signature(function) for name, function in [*FILTERS.items(), *TESTS.items()]}
_METHODS = {"strip": "trim", "lstrip": "trim", "rstrip": "strip_punctuation", "count": "length"}
_EQUAL: Mapping[str, Callable[..., bool]] = {"eq": eq, "ne": ne}
_ORDERED: Mapping[str, Callable[..., bool]] = {"lt": lt, "lteq": le, "gt": gt, "gteq": ge}
_LOOP_ATTRIBUTES: Mapping[str, Callable[[Loop], object]] = {
    "index": lambda loop: loop.index0 + 1,
    "index0": lambda loop: loop.index0,
    "revindex": lambda loop: loop.length - loop.index0,
    "first": lambda loop: loop.index0 == 0,
    "last": lambda loop: loop.index0 == loop.length - 1,
    "length": lambda loop: loop.length,
}


class Compiled(NamedTuple):
    """A compiled expression and the names that it reads, in order; LOOP is one of them if it reads the loop."""

    evaluate: Evaluate
    reads: tuple[str, ...]


def compile_expression(node: nodes.Expr) -> Compiled:
    """Compile `node` to a function that evaluates it.

    Raises:
        ExpressionError: the expression has an operation that templates do not have.
    """
    _validate_depth(node)
    reads: list[str] = []
    return Compiled(_present(node, reads), tuple(reads))


def _validate_depth(root: nodes.Node) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise ExpressionError(f"this is nested deeper than {MAX_DEPTH} levels: {{% set %}} can give its pieces names")


def _present(node: nodes.Expr, reads: list[str]) -> Evaluate:
    return present(_compile(node, reads))


def _compile(node: nodes.Expr, reads: list[str]) -> Evaluate:
    match node:
        case nodes.Const(value=value):
            constant = replace_surrogates(value) if isinstance(value, str) else value
            return lambda run: constant
        case nodes.Name(name="loop"):
            known = "loop.index, loop.first, loop.last and so on"
            raise ExpressionError(f"loop has no value of its own: it is for {known}")
        case nodes.Name(name=name):
            reads.append(name)
            return reader(name)
        case nodes.Getattr(node=nodes.Name(name="loop"), attr=attr):
            return _loop_attribute(attr, reads)
        case nodes.Getitem(node=operand, arg=arg):
            return _item(_present(operand, reads), _index(arg))
        case nodes.List(items=items) | nodes.Tuple(items=items):
            return _list([_present(item, reads) for item in items])
        case nodes.Filter(node=operand) if operand is not None:
            return _apply(node, operand, "filter '{}'", FILTERS, reads)
        case nodes.Test(node=operand):
            return _apply(node, operand, "test 'is {}'", TESTS, reads)
        case nodes.CondExpr(test=condition, expr1=then, expr2=otherwise):
            if otherwise is None:
                raise ExpressionError("this 'if' has no 'else': write the other value, as in title if title else ''")
            yes, test, no = _present(then, reads), _present(condition, reads), _present(otherwise, reads)
            return lambda run: yes(run) if test(run) else no(run)
        case nodes.And(left=left, right=right):
            one, two = _present(left, reads), _present(right, reads)
            return lambda run: one(run) and two(run)
        case nodes.Or(left=left, right=right):
            one, two = _present(left, reads), _present(right, reads)
            return lambda run: one(run) or two(run)
        case nodes.Not(node=operand):
            inner = _present(operand, reads)
            return lambda run: not inner(run)
        case nodes.Compare(expr=first, ops=others):
            return _compare(_present(first, reads), [(other.op, _present(other.expr, reads)) for other in others])
        case nodes.Concat(nodes=operands):
            pieces = [_present(operand, reads) for operand in operands]
            return lambda run: join_texts([piece(run) for piece in pieces])
        case nodes.Add(left=left, right=right):
            return _sum("+", add, _present(left, reads), _present(right, reads))
        case nodes.Sub(left=left, right=right):
            return _sum("-", sub, _present(left, reads), _present(right, reads))
        case nodes.Neg(node=operand):
            return _sum("-", lambda _, number: -number, lambda run: 0, _present(operand, reads))
        case _:
            raise ExpressionError(_advice(node))


def _advice(node: nodes.Expr) -> str:
    """Advice on an operation that templates do not have."""
    match node:
        case nodes.Call(node=nodes.Getattr(attr=attr)) if (name := _METHODS.get(attr, attr)) in FILTERS:
            return f"values have no methods: write | {name} instead of .{attr}()"
        case nodes.Call():
            known = quoted_list(FILTERS)
            return f"nothing can be called: use a filter, as in {{{{ text | trim }}}}; the filters are {known}"
        case nodes.Getattr(attr=attr):
            name = abbreviate(attr)
            return f"values have no attributes such as .{name}: a field is read by its name, an item as in items[0]"
        case nodes.BinExpr(operator=operator) | nodes.UnaryExpr(operator=operator):
            return f"unsupported operator {operator}: the only arithmetic is + and - of numbers"
        case nodes.Dict():
            return "mappings are not supported: give the example one field for each value"
        case _:
            return f"templates do not support {type(node).__name__}"


def _loop_attribute(attr: str, reads: list[str]) -> Evaluate:
    if attr not in _LOOP_ATTRIBUTES:
        known = quoted_list(_LOOP_ATTRIBUTES)
        raise ExpressionError(
            f"unknown loop.{abbreviate(attr)}: loop has {known}{did_you_mean(attr, _LOOP_ATTRIBUTES)}"
        )
    reads.append(LOOP)
    read = _LOOP_ATTRIBUTES[attr]

    def attribute(run: Run) -> object:
        loop = run.scope[LOOP]
        return read(loop) if isinstance(loop, Loop) else None

    return attribute


def _index(arg: nodes.Expr) -> int | slice:
    match arg:
        case nodes.Slice(start=start, stop=stop, step=None):
            return slice(_whole(start), _whole(stop))
    index = _whole(arg)
    if index is None:
        raise ExpressionError("an item is read by a whole number, as in items[0] or items[:3]")
    return index


def _whole(node: nodes.Expr | None) -> int | None:
    match node:
        case None:
            return None
        case nodes.Const(value=int() as number) if not isinstance(number, bool):
            return number
        case nodes.Neg(node=nodes.Const(value=int() as number)) if not isinstance(number, bool):
            return -number
    raise ExpressionError("an item is read by a whole number, as in items[0] or items[:3]")


def _item(operand: Evaluate, index: int | slice) -> Evaluate:
    def item(run: Run) -> object:
        value = operand(run)
        if not isinstance(value, str | list):
            raise ExpressionError(f"only a list or text has items, found {type_name(value)}")
        try:
            return value[index]
        except IndexError:
            return Missing(lambda: f"no item {index}: {type_name(value)} of length {len(value)}")

    return item


def _list(items: list[Evaluate]) -> Evaluate:
    def build(run: Run) -> object:
        values = [item(run) for item in items]
        if any(isinstance(value, list) for value in values):  # else nested lists could grow without limit
            raise ExpressionError("a list that is written in a template holds no other list")
        return values

    return build


def _apply(
    node: nodes.Filter | nodes.Test,
    operand: nodes.Expr,
    kind: str,
    functions: Mapping[str, Callable[..., object]],
    reads: list[str],
) -> Evaluate:
    """Compile a filter or test, one of `functions`."""
    name = node.name
    if name not in functions:
        known = f"expected one of {quoted_list(functions)}{did_you_mean(name, functions)}"
        raise ExpressionError(f"unknown {kind.format(abbreviate(name))}: {known}")
    function = functions[name]
    value = _compile(operand, reads) if name in ACCEPT_MISSING else _present(operand, reads)
    arguments, keywords = _arguments(node, name, reads)

    def apply(run: Run) -> object:
        given = [value(run), *(argument(run) for argument in arguments)]
        named = {key: argument(run) for key, argument in keywords.items()}
        try:
            return function(*given, **named)
        except ExpressionError as error:
            raise type(error)(f"{name}: {error}") from None

    return apply


def _arguments(
    node: nodes.Filter | nodes.Test, name: str, reads: list[str]
) -> tuple[list[Evaluate], dict[str, Evaluate]]:
    """Compile and validate the arguments of a filter or test."""
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise ExpressionError(f"{name} takes its arguments one by one, without * or **")
    arguments = [_present(argument, reads) for argument in node.args]
    keywords = {str(pair.key): _present(pair.value, reads) for pair in node.kwargs}
    try:
        _SIGNATURES[name].bind(None, *arguments, **keywords)
    except TypeError as error:
        raise ExpressionError(f"{name} does not take these arguments: {error}") from error
    return arguments, keywords


def _compare(first: Evaluate, others: list[tuple[str, Evaluate]]) -> Evaluate:
    def compare(run: Run) -> object:
        left = first(run)
        for operator, other in others:
            right = other(run)
            if not _holds(operator, left, right):
                return False
            left = right
        return True

    return compare


def _holds(operator: str, left: object, right: object) -> bool:
    if operator in ("in", "notin"):
        return _contains(left, right) == (operator == "in")
    if isinstance(left, list) or isinstance(right, list):
        raise ExpressionError("lists cannot be compared: ask for their length, or for an item with 'in'")
    if operator in _EQUAL:
        return _EQUAL[operator](left, right)
    match left, right:
        case (str(), str()) | (int() | float(), int() | float()):
            return _ORDERED[operator](left, right)
    raise ExpressionError(f"cannot tell which is greater, {type_name(left)} or {type_name(right)}")


def _contains(item: object, container: object) -> bool:
    match item, container:
        case list(), _:
            raise ExpressionError("lists cannot be compared: ask for an item with 'in'")
        case str(), str():
            return item in container
        case _, list():
            return item in container
    raise ExpressionError(
        f"'in' looks for text in text, or for an item in a list, found {type_name(item)} in {type_name(container)}"
    )


def _sum(sign: str, operator: Callable[[float, float], float], one: Evaluate, two: Evaluate) -> Evaluate:
    def result(run: Run) -> object:
        left, right = one(run), two(run)
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise ExpressionError(
                f"{sign} is for numbers, found {type_name(left)} and {type_name(right)}; texts are joined by ~"
            )
        try:
            return operator(left, right)
        except OverflowError as error:
            raise ExpressionError(f"{sign}: {error}") from error

    return result
