"""Compile a template that has Jinja in it: from its nodes to steps, one after the other, that a run takes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NoReturn, TypeVar

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import did_you_mean, line_and_column, quoted, quoted_list
from softcloze.template.jinja.expressions import Compiled, compile_expression
from softcloze.template.jinja.filters import Refusal, kind, text_of
from softcloze.template.jinja.parsing import read_expression, read_for, read_set
from softcloze.template.jinja.runtime import COST, LOOP, Evaluate, Loop, Run, Step, present, reader, run_steps
from softcloze.template.nodes import Expression, Field, Literal, Placed, Statement, edges, literal_text
from softcloze.template.parts import Part
from softcloze.template.soft_blocks import SoftBlock

DEEPEST = 20  # blocks within blocks
MOST_NAMES = 1_000  # that are set: blocks keep account of them
SEEN = 1_000  # expressions that are kept compiled
KEYWORDS = ("if", "elif", "else", "endif", "for", "endfor", "set")
_STATEMENT = re.compile(r"(\w*)\s*(.*)", re.DOTALL)
_T = TypeVar("_T")


def compile_statements(
    placed: Sequence[Placed], blocks: Sequence[SoftBlock | None], source: str
) -> tuple[list[Step], dict[str, bool]]:
    """The steps of a template, and the names that an example fills with whether Jinja reads them.

    Args:
        placed: the nodes of the template.
        blocks: the soft block of each node.
        source: the template as it was given, for messages.

    Raises:
        TemplateSyntaxError: some Jinja breaks a rule.
    """
    compiler = _Compiler(placed, blocks, source)
    steps, _, _ = compiler.body()
    return steps, compiler.fields


class _Compiler:
    """Goes through the nodes of a template from first to last.

    Attributes:
        at: the next node.
        open: the blocks that are open there: where, and opened by which keyword.
        fields: names read so far that the example fills, with whether Jinja reads them.
        bound: names that a loop or `set` fills at this place, with the field that their value comes from.
    """

    def __init__(self, placed: Sequence[Placed], blocks: Sequence[SoftBlock | None], source: str) -> None:
        self.placed, self.blocks, self.source = placed, blocks, source
        self.nodes = [node for node, _, _ in placed]
        self.at = 0
        self.open: list[tuple[int, str]] = []
        self.fields: dict[str, bool] = {}
        self.bound: dict[str, str | None] = {}

    def body(self, *ends: str) -> tuple[list[Step], str, str]:
        """The steps up to a statement with a keyword of `ends`, that keyword, and what stands behind it."""
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
            self.fail(opener, f"this '{keyword}' is never closed: expected {{% end{keyword} %}} behind it")
        return steps, "", ""

    def statement(self, source: str) -> tuple[str, str]:
        found = _STATEMENT.match(edges(source)[1])
        return (found[1], found[2]) if found else ("", "")

    def block(self, i: int, keyword: str, rest: str, ends: Sequence[str]) -> Step:
        match keyword:
            case "set":
                return self.assignment(i, rest)
            case "if" | "for":
                self.open.append((i, keyword))
                if len(self.open) > DEEPEST:
                    self.fail(i, f"blocks are nested deeper than {DEEPEST} levels")
                step = self.condition(i, rest) if keyword == "if" else self.loop(i, rest)
                self.open.pop()
                return step
            case _ if keyword not in KEYWORDS:
                problem = f"there is no {quoted(keyword)} in templates: there are {quoted_list(KEYWORDS)}"
                self.fail(i, problem + did_you_mean(keyword, KEYWORDS))
            case _ if ends:
                opener = line_and_column(self.source, self.placed[self.open[-1][0]].start)
                self.fail(i, f"expected {quoted_list(ends)} for the block opened at {opener}, found {keyword!r}")
            case _:
                self.fail(i, f"this {keyword!r} belongs to no block: none is open here")

    def condition(self, i: int, rest: str) -> Step:
        before = self.bound
        bound: list[dict[str, str | None]] = []  # what each branch has set at its end
        branches: list[tuple[int, Evaluate | None, list[Step]]] = []
        test: Evaluate | None
        test, _ = self.expression(i, rest)
        keyword = ""
        while keyword != "endif":
            self.bound = dict(before)
            steps, keyword, rest = self.body(*(("endif",) if test is None else ("elif", "else", "endif")))
            branches.append((i, test, steps))
            bound.append(self.bound)
            self.bound = before
            i, test = self.at - 1, None
            if keyword == "elif":
                test, _ = self.expression(i, rest)
            else:
                self.nothing(i, keyword, rest)
        if branches[-1][1] is not None:  # no else: nothing at all may run
            bound.append(before)
        self.bound = {name: bound[0][name] for name in bound[0] if all(name in other for other in bound)}

        def choose(run: Run) -> None:
            for at, test, steps in branches:
                run.at = at
                if test is None or test(run):
                    return run_steps(steps, run)

        return choose

    def loop(self, i: int, rest: str) -> Step:
        targets, goes_through, condition = self.allowed(i, _compile_for, rest)
        items, origin = self.noted(i, goes_through)
        before = self.bound
        self.bound = dict(before)
        self.bind(i, targets, origin)
        test: Evaluate | None = None
        if condition is not None:
            test, _ = self.noted(i, condition)
        self.bound[LOOP] = None
        steps, keyword, rest = self.body("else", "endfor")
        self.bound = dict(before)
        otherwise: list[Step] = []
        if keyword == "else":
            self.nothing(self.at - 1, keyword, rest)
            otherwise, keyword, rest = self.body("endfor")
        self.nothing(self.at - 1, keyword, rest)
        self.bound = before

        def repeat(run: Run) -> None:
            run.at = i
            outer = run.scope
            found = _listed(items(run))
            run.count(len(found))
            if test is not None:
                found = [item for item in found if test(run.enter(outer, _unpacked(targets, item)))]
            for index, item in enumerate(found):
                run.at = i
                step = {**_unpacked(targets, item), LOOP: Loop(index, len(found))}
                run_steps(steps, run.enter(outer, step))
            if not found:
                run_steps(otherwise, run.enter(outer, {}))
            run.scope = outer

        return repeat

    def assignment(self, i: int, rest: str) -> Step:
        name, value = self.allowed(i, _compile_set, rest)
        evaluate, origin = self.noted(i, value)
        self.bind(i, [name], origin)

        def assign(run: Run) -> None:
            run.at = i
            run.scope[name] = evaluate(run)

        return assign

    def bind(self, i: int, names: Sequence[str], origin: str | None) -> None:
        self.bound |= dict.fromkeys(names, origin)
        if len(self.bound) > MOST_NAMES:
            self.fail(i, f"a template sets at most {MOST_NAMES} names")

    def nothing(self, i: int, keyword: str, rest: str) -> None:
        if rest:
            hint = "; did you mean 'elif'?" if keyword == "else" else ""
            self.fail(i, f"nothing can stand behind {keyword!r}, found {quoted(rest)}{hint}")

    def expression(self, i: int, source: str) -> tuple[Evaluate, str | None]:
        """An expression compiled, and the field that its value comes from."""
        return self.noted(i, self.allowed(i, _compile, source))

    def allowed(self, i: int, compile_it: Callable[[str], _T], source: str) -> _T:
        """What `compile_it` makes of `source`; where it refuses, the node is at fault."""
        try:
            return compile_it(source)
        except Refusal as refusal:
            self.fail(i, str(refusal))

    def noted(self, i: int, compiled: Compiled) -> tuple[Evaluate, str | None]:
        """Note that an expression stands here, and tell the field that its value comes from."""
        if LOOP in compiled.reads and LOOP not in self.bound:
            self.fail(i, "loop stands in no loop: it counts the steps of {% for … %}")
        return compiled.evaluate, self.origin(compiled.reads, in_jinja=True)

    def origin(self, reads: Sequence[str], *, in_jinja: bool) -> str | None:
        """Note what is read here, and tell the first field among it, None if there is none."""
        for name in reads:
            if name not in self.bound:
                self.fields[name] = in_jinja or self.fields.get(name, False)
        return next((origin for name in reads if (origin := self.bound.get(name, name)) is not None), None)

    def fail(self, i: int, problem: str) -> NoReturn:
        _, start, end = self.placed[i]
        raise TemplateSyntaxError(problem, self.source, start, end) from None


# a template says the same again and again


@lru_cache(SEEN)
def _compile(source: str) -> Compiled:
    return compile_expression(read_expression(source))


@lru_cache(SEEN)
def _compile_for(source: str) -> tuple[tuple[str, ...], Compiled, Compiled | None]:
    targets, items, condition = read_for(source)
    return targets, compile_expression(items), None if condition is None else compile_expression(condition)


@lru_cache(SEEN)
def _compile_set(source: str) -> tuple[str, Compiled]:
    name, value = read_set(source)
    return name, compile_expression(value)


def _listed(value: object) -> list[object]:
    if not isinstance(value, list):
        hint = "; text | split makes a list of text" if isinstance(value, str) else ""
        raise Refusal(f"'for' goes through a list, found {kind(value)}{hint}")
    return value


def _unpacked(targets: Sequence[str], item: object) -> dict[str, object]:
    """What one step of a loop sets."""
    if len(targets) == 1:
        return {targets[0]: item}
    if not isinstance(item, list) or len(item) != len(targets):
        found = f"one of {len(item)}" if isinstance(item, list) else kind(item)
        raise Refusal(f"every item must be a list of {len(targets)} for {', '.join(targets)}, found {found}")
    return dict(zip(targets, item, strict=True))


def _output(i: int, evaluate: Evaluate, origin: str | None, field: Field) -> Step:
    """Write a value: as one of the field that it comes from, as literal text if it comes from none."""
    shown = None if origin is None else field if field.name == origin else replace(field, name=origin)

    def write_value(run: Run) -> None:
        run.at = i
        text = text_of(evaluate(run))
        run.parts.append(Part(Literal(text) if shown is None else shown, text))

    return write_value


def _emit(part: Part) -> Step:
    cost = COST + len(part.text)

    def emit(run: Run) -> None:
        run.spend(cost)
        run.parts.append(part)

    return emit
