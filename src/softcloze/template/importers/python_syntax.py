"""Parse the inside of OpenPrompt's braces as a Python syntax tree, without evaluating it."""

import ast
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import abbreviate, quoted

_INSIDE = re.compile(r""""(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'|[{}]""", re.DOTALL)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_EXPECTED = """expected the inside of a Python dict or set, as in {"soft": None, "duplicate": 5}"""


class Entry(NamedTuple):
    """A key and its value, None in a set; `places` maps syntax tree nodes to source positions."""

    value: ast.expr | None
    key: ast.expr
    places: "_Places"

    @property
    def span(self) -> tuple[int, int]:
        """The span of the value, or of the key if it has no value."""
        return self.places.of(self.key if self.value is None else self.value)

    @property
    def constant(self) -> object:
        """The value if it is a string, number, truth value or None; `...`, which no key accepts, for any other."""
        match self.value:
            case None:
                return None
            case ast.Constant(value):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
                return -value
        return ...


def braces_end(source: str, start: int) -> int:
    """The end of the braces that open at `start`; skips quotes and nested braces.

    Raises:
        TemplateSyntaxError: the braces are never closed.

    >>> braces_end('{"text": "}"}.', 0)
    13
    """
    depth = 0
    for token in _INSIDE.finditer(source, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    raise TemplateSyntaxError("this '{' is never closed: expected '}'", source, start, start + 1)


def read_braces(source: str, start: int, end: int) -> dict[str, Entry]:
    """Parse the braces `source[start:end]`, which contain the inside of a Python dict or set.

    Raises:
        TemplateSyntaxError: they contain anything else.

    >>> entries = read_braces('{"soft": None, "duplicate": 3}', 0, 30)
    >>> {key: entry.constant for key, entry in entries.items()}
    {'soft': None, 'duplicate': 3}
    """
    body = _tree(source, start, end)
    places = _Places(source, start, end)
    match body:
        case ast.Set(keys):
            pairs: list[tuple[ast.expr | None, ast.expr | None]] = [(key, None) for key in keys]
        case ast.Dict(keys, values):
            pairs = list(zip(keys, values, strict=True))
        case _:
            raise TemplateSyntaxError(_EXPECTED, source, start, end)
    entries: dict[str, Entry] = {}
    for key, value in pairs:
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            at = places.of(key) if key is not None else (start, end)
            raise TemplateSyntaxError(f"expected a key in quotes, found {abbreviate(source[slice(*at)])}", source, *at)
        if key.value in entries:
            raise TemplateSyntaxError(f"{quoted(key.value)} comes twice in one tag", source, *places.of(key))
        entries[key.value] = Entry(value, key, places)
    return entries


def _tree(source: str, start: int, end: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns about unknown escapes
            return ast.parse(source[start:end], mode="eval").body
    except (
        SyntaxError,
        ValueError,
        RecursionError,
        MemoryError,
    ) as error:  # the last two: nested too deeply
        raise TemplateSyntaxError(_EXPECTED, source, start, end) from error


class _Places:
    """Maps nodes of the syntax tree, which count lines and UTF-8 bytes, to source positions."""

    def __init__(self, source: str, start: int, end: int) -> None:
        self.start = start
        self.body = source[start:end].encode()
        self.lines = [0, *(match.end() for match in _LINE_END.finditer(self.body))]

    def of(self, node: ast.expr) -> tuple[int, int]:
        last_line, last_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._at(node.lineno, node.col_offset), self._at(last_line, last_column)

    def _at(self, line: int, column: int) -> int:
        return self.start + len(self.body[: self.lines[line - 1] + column].decode())


KNOWN = (
    "strip(), lower(), upper(), title(), capitalize(), replace(), rstrip(string.punctuation), x[:200], "
    "a first letter lowered or raised, and text added before or after"
)
_METHODS = {
    ".strip()": "trim",
    ".lower()": "lower",
    ".upper()": "upper",
    ".title()": "title",
    ".capitalize()": "capitalize",
    ".rstrip(string.punctuation)": "strip_punctuation",
}
_WITH_TEXTS = {("strip", 1): "trim", ("replace", 2): "replace"}  # method and its number of text arguments
_FIRST_LETTER = {
    "{0}[:1].lower() + {0}[1:]": "lower_first",
    "{0}[0].lower() + {0}[1:]": "lower_first",
    "{0}[:1].upper() + {0}[1:]": "upper_first",
    "{0}[0].upper() + {0}[1:]": "upper_first",
}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Steps:
    """The effect of a function on a text: filters and slices in order, then text added before and after."""

    filters: tuple[str, ...] = ()
    before: str = ""
    after: str = ""


def read_function(node: ast.expr) -> Steps | None:
    """The steps of a function of one text; None for a function with unknown steps.

    >>> read_function(ast.parse("lambda x: x[:200].strip() + '.'", mode="eval").body)
    Steps(filters=('[:200]', 'trim'), before='', after='.')
    >>> read_function(ast.parse("lambda x: open(x).read()", mode="eval").body)
    """
    match node:
        case ast.Lambda(args=ast.arguments([], [ast.arg(name)], None, [], [], None, []), body=body):
            try:
                return _steps(body, name)
            except RecursionError:
                return None
        case ast.Attribute(ast.Name("str"), method) if f".{method}()" in _METHODS:
            return Steps((_METHODS[f".{method}()"],))
    return None


def expression(name: str, filters: Iterable[str]) -> str:
    """A Jinja expression that applies these filters to a field.

    >>> expression("text", ["[:-1]", "lower", "[:9]"])
    '(text[:-1] | lower)[:9]'
    """
    written = name
    for step in filters:
        if step.startswith("["):
            written = f"({written}){step}" if "|" in written else written + step
        else:
            written = f"{written} | {step}"
    return written


def _steps(body: ast.expr, name: str) -> Steps | None:
    written = ast.unparse(body)
    for pattern, first_letter in _FIRST_LETTER.items():
        if written == pattern.format(name):
            return Steps((first_letter,))
    match body:
        case ast.Name(variable) if variable == name:
            return Steps()
        case ast.BinOp(left, ast.Add(), ast.Constant(str(text))):
            steps = _steps(left, name)
            return steps and replace(steps, after=steps.after + text)
        case ast.BinOp(ast.Constant(str(text)), ast.Add(), right):
            steps = _steps(right, name)
            return steps and replace(steps, before=text + steps.before)
        case ast.Subscript(inner, ast.Slice(step=None)) | ast.Call(ast.Attribute(inner)):
            steps, last = _steps(inner, name), _last(body, written.removeprefix(ast.unparse(inner)))
            if steps is None or last is None or steps.before or steps.after:
                return None
            return replace(steps, filters=(*steps.filters, last))
    return None


def _last(body: ast.expr, written: str) -> str | None:
    """The last step of `body`, whose Python source is `written`."""
    match body:
        case ast.Subscript(slice=ast.Slice(lower, upper)):
            bounds = [bound.operand if isinstance(bound, ast.UnaryOp) else bound for bound in (lower, upper) if bound]
            return written if all(isinstance(bound, ast.Constant) for bound in bounds) else None
        case ast.Call(ast.Attribute(_, method), [*args], []) if (method, len(args)) in _WITH_TEXTS:
            texts = [arg.value for arg in args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            quoted = ", ".join(f'"{text.translate(_ESCAPES)}"' for text in texts)
            return f"{_WITH_TEXTS[method, len(args)]}({quoted})" if len(texts) == len(args) else None
    return _METHODS.get(written)
