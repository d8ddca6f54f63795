"""Compile a template with Jinja: from its nodes to steps that run in order."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NoReturn, TypeVar

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import did_you_mean, line_and_column, quoted, quoted_list
from softcloze.template.jinja.expressions import Compiled, compile_expression
from softcloze.template.jinja.filters import ExpressionError, text_of, type_name
from softcloze.template.jinja.parsing import read_expression, read_for, read_set
from softcloze.template.jinja.runtime import COST, LOOP, Evaluate, Loop, Run, Step, present, reader, run_steps
from softcloze.template.nodes import Expression, Field, Literal, Placed, Statement, edges, literal_text
from softcloze.template.parts import Part
from softcloze.template.soft_blocks import SoftBlock

MAX_DEPTH = 20  # of nested blocks
MAX_NAMES = 1_000  # names that `set` and `for` may bind
CACHE_SIZE = 1_000  # compiled expressions
KEYWORDS = ("if", "elif", "else", "endif", "for", "endfor", "set")
_STATEMENT = re.compile(r"(\w*)\s*(.*)", re.DOTALL)
_T = TypeVar("_T")


def compile_statements(
    placed: Sequence[Placed], blocks: Sequence[SoftBlock | None], source: str
) -> tuple[list[Step], dict[str, bool]]:
    """Compile a template to steps; also return its field names, each with whether Jinja reads it.

    Args:
        placed: the nodes of the template.
        blocks: the soft block of each node.
        source: the source of the template, for messages.

    Raises:
        TemplateSyntaxError: the Jinja breaks a rule.
    """
    compiler = _Compiler(placed, blocks, source)
    steps, _, _ = compiler.body()
    return steps, compiler.fields


class _Compiler:
    """Compiles the nodes of a template from first to last.

    Attributes:
        at: index of the next node.
        open: the open blocks: index and keyword of the opening statement.
        fields: field names so far, with whether Jinja reads them.
        bound: names that a loop or `set` has bound, with the field of origin of their value.
    """

    def __init__(self, placed: Sequence[Placed], blocks: Sequence[SoftBlock | None], source: str) -> None:
        self.placed, self.blocks, self.source = placed, blocks, source
        self.nodes = [node for node, _, _ in placed]
        self.at = 0
        self.open: list[tuple[int, str]] = []
        self.fields: dict[str, bool] = {}
        self.bound: dict[str, str | None] = {}

    def body(self, *ends: str) -> tuple[list[Step], str, str]:
        """The steps up to a statement with a keyword of `ends`, that keyword, and the text after it."""
        steps: list[Step] = []
        while self.at < len(self.nodes):
            i, node = self.at, self.nodes[self.at]
            self.at += 1
            match node:
                case Literal(text):
                    if text := literal_text(text, self.nodes, i):
                        steps.append(_emit(Part(Literal(text), text)))
                case Field(name):
                    origin = self.origin([name], in_jinja=False)
                    steps.append(_output(i, present(reader(name)), origin, node))
                case Expression(source):
                    evaluate, origin = self.expression(i, edges(source)[1])
                    steps.append(_output(i, evaluate, origin, Field(origin or "")))
                case Statement(source):
                    keyword, rest = self.statement(source)
                    if keyword in ends:
                        return steps, keyword, rest
                    steps.append(self.block(i, keyword, rest, ends))
                case _:
                    steps.append(_emit(Part(node, block=self.blocks[i])))
        if ends:
            opener, keyword = self.open[-1]
            self.fail(opener, f"this '{keyword}' is never closed: expected {{% end{keyword} %}} after it")
        return steps, "", ""

    def statement(self, source: str) -> tuple[str, str]:
        match = _STATEMENT.match(edges(source)[1])
        return (match[1], match[2]) if match else ("", "")

    def block(self, i: int, keyword: str, rest: str, ends: Sequence[str]) -> Step:
        match keyword:
            case "set":
                return self.assignment(i, rest)
            case "if" | "for":
                self.open.append((i, keyword))
                if len(self.open) > MAX_DEPTH:
                    self.fail(i, f"blocks are nested deeper than {MAX_DEPTH} levels")
                step = self.condition(i, rest) if keyword == "if" else self.loop(i, rest)
                self.open.pop()
                return step
            case _ if keyword not in KEYWORDS:
                problem = f"unknown keyword {quoted(keyword)}: expected one of {quoted_list(KEYWORDS)}"
                self.fail(i, problem + did_you_mean(keyword, KEYWORDS))
            case _ if ends:
                opener = line_and_column(self.source, self.placed[self.open[-1][0]].start)
                self.fail(i, f"expected {quoted_list(ends)} for the block opened at {opener}, found {keyword!r}")
            case _:
                self.fail(i, f"this {keyword!r} belongs to no block: none is open here")

    def condition(self, i: int, rest: str) -> Step:
        before = self.bound
        bound: list[dict[str, str | None]] = []  # names bound at the end of each branch
        branches: list[tuple[int, Evaluate | None, list[Step]]] = []
        test: Evaluate | None
        test, _ = self.expression(i, rest)
        keyword, taken = "", False  # taken: an earlier branch runs for every example
        while keyword != "endif":
            self.bound, fields = dict(before), dict(self.fields)
            always = True if test is None else self.constant(i, rest)
            steps, keyword, rest = self.body(*(("endif",) if test is None else ("elif", "else", "endif")))
            if taken or always is False:
                self.fields = fields  # this branch never runs
            taken = taken or always is True
            branches.append((i, test, steps))
            bound.append(self.bound)
            self.bound = before
            i, test = self.at - 1, None
            if keyword == "elif":
                test, _ = self.expression(i, rest)
            else:
                self.validate_empty(i, keyword, rest)
        if branches[-1][1] is not None:  # no else: possibly no branch runs
            bound.append(before)
        self.bound = {name: bound[0][name] for name in bound[0] if all(name in other for other in bound)}

        def choose(run: Run) -> None:
            for at, test, steps in branches:
                run.at = at
                if test is None or test(run):
                    return run_steps(steps, run)

        return choose

    def loop(self, i: int, rest: str) -> Step:
        targets, goes_through, condition = self.compiled(i, _compile_for, rest)
        items, origin = self.recorded(i, goes_through)
        before, fields = self.bound, dict(self.fields)
        self.bound = dict(before)
        self.bind(i, targets, origin)
        test: Evaluate | None = None
        if condition is not None:
            test, _ = self.recorded(i, condition)
        self.bound[LOOP] = None
        steps, keyword, rest = self.body("else", "endfor")
        if not goes_through.reads and _is_empty(items):
            self.fields = fields  # the loop never runs
        self.bound = dict(before)
        otherwise: list[Step] = []
        if keyword == "else":
            self.validate_empty(self.at - 1, keyword, rest)
            otherwise, keyword, rest = self.body("endfor")
        self.validate_empty(self.at - 1, keyword, rest)
        self.bound = before

        def repeat(run: Run) -> None:
            run.at = i
            outer = run.scope
            values = _as_list(items(run))
            run.count(len(values))
            if test is not None:
                values = [value for value in values if test(run.enter(outer, _unpacked(targets, value)))]
            for index, value in enumerate(values):
                run.at = i
                step = {**_unpacked(targets, value), LOOP: Loop(index, len(values))}
                run_steps(steps, run.enter(outer, step))
            if not values:
                run_steps(otherwise, run.enter(outer, {}))
            run.scope = outer

        return repeat

    def assignment(self, i: int, rest: str) -> Step:
        name, value = self.compiled(i, _compile_set, rest)
        evaluate, origin = self.recorded(i, value)
        self.bind(i, [name], origin)

        def assign(run: Run) -> None:
            run.at = i
            run.scope[name] = evaluate(run)

        return assign

    def bind(self, i: int, names: Sequence[str], origin: str | None) -> None:
        self.bound |= dict.fromkeys(names, origin)
        if len(self.bound) > MAX_NAMES:
            self.fail(i, f"a template sets at most {MAX_NAMES} names")

    def validate_empty(self, i: int, keyword: str, rest: str) -> None:
        if rest:
            hint = "; did you mean 'elif'?" if keyword == "else" else ""
            self.fail(i, f"nothing can follow {keyword!r}, found {quoted(rest)}{hint}")

    def expression(self, i: int, source: str) -> tuple[Evaluate, str | None]:
        """Compile an expression; also return the field of origin of its value."""
        return self.recorded(i, self.compiled(i, _compile, source))

    def compiled(self, i: int, compile_it: Callable[[str], _T], source: str) -> _T:
        """Call `compile_it` on `source`; turn an ExpressionError into a syntax error at the node."""
        try:
            return compile_it(source)
        except ExpressionError as error:
            self.fail(i, str(error))

    def constant(self, i: int, source: str) -> bool | None:
        """The truth of an expression that reads no names; None if it reads some."""
        evaluate, reads = self.compiled(i, _compile, source)
        try:
            return None if reads else bool(evaluate(Run({}, {})))
        except ExpressionError:
            return None

    def recorded(self, i: int, compiled: Compiled) -> tuple[Evaluate, str | None]:
        """Record the names that an expression reads; return its function and the field of origin of its value."""
        if LOOP in compiled.reads and LOOP not in self.bound:
            self.fail(i, "loop is used outside a loop: it counts the steps of {% for … %}")
        return compiled.evaluate, self.origin(compiled.reads, in_jinja=True)

    def origin(self, reads: Sequence[str], *, in_jinja: bool) -> str | None:
        """Record the names read here; return the first field among them, None if there is none."""
        for name in reads:
            if name not in self.bound:
                self.fields[name] = in_jinja or self.fields.get(name, False)
        return next((origin for name in reads if (origin := self.bound.get(name, name)) is not None), None)

    def fail(self, i: int, problem: str) -> NoReturn:
        _, start, end = self.placed[i]
        raise TemplateSyntaxError(problem, self.source, start, end, "logic") from None


# templates repeat expressions


@lru_cache(CACHE_SIZE)
def _compile(source: str) -> Compiled:
    return compile_expression(read_expression(source))


@lru_cache(CACHE_SIZE)
def _compile_for(source: str) -> tuple[tuple[str, ...], Compiled, Compiled | None]:
    targets, items, condition = read_for(source)
    return targets, compile_expression(items), None if condition is None else compile_expression(condition)


@lru_cache(CACHE_SIZE)
def _compile_set(source: str) -> tuple[str, Compiled]:
    name, value = read_set(source)
    return name, compile_expression(value)


def _is_empty(items: Evaluate) -> bool:
    """Return whether a list that reads no names is empty."""
    try:
        return items(Run({}, {})) == []
    except ExpressionError:
        return False


def _as_list(value: object) -> list[object]:
    if not isinstance(value, list):
        hint = "; text | split makes a list of text" if isinstance(value, str) else ""
        raise ExpressionError(f"'for' iterates over a list, found {type_name(value)}{hint}")
    return value


def _unpacked(targets: Sequence[str], item: object) -> dict[str, object]:
    """The names that one iteration of a loop binds."""
    if len(targets) == 1:
        return {targets[0]: item}
    if not isinstance(item, list) or len(item) != len(targets):
        actual = f"one of {len(item)}" if isinstance(item, list) else type_name(item)
        raise ExpressionError(f"every item must be a list of {len(targets)} for {', '.join(targets)}, found {actual}")
    return dict(zip(targets, item, strict=True))


def _output(i: int, evaluate: Evaluate, origin: str | None, field: Field) -> Step:
    """Write a value as that of its field of origin, or as literal text if it has none."""
    node = None if origin is None else field if field.name == origin else replace(field, name=origin)

    def write_value(run: Run) -> None:
        run.at = i
        text = text_of(evaluate(run))
        run.parts.append(Part(Literal(text) if node is None else node, text))

    return write_value


def _emit(part: Part) -> Step:
    cost = COST + len(part.text)

    def emit(run: Run) -> None:
        run.spend(cost)
        run.parts.append(part)

    return emit
