"""Templates of LM-BFF: `*cls**sent_0*_It_was*mask*.*sep+*`."""

import re
from typing import NoReturn

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import did_you_mean, quoted
from softcloze.template.importers.common import field, finish
from softcloze.template.importers.python_syntax import expression
from softcloze.template.nodes import Expression, Field, Literal, Mask, Node, Placed, Special

_SENTENCE = re.compile(r"(?P<space>\+?)sent(?P<letter>[lu]?)(?P<shorter>-?)_(?P<number>[0-9]+)", re.ASCII)
_LETTERS = {"l": "lower_first", "u": "upper_first"}
_NAMES = ("cls", "mask", "sep", "sep+", "sent_0", "sent_1", "+sent_0", "+sent_1", "sentl_0", "sent-_0", "sentl-_0")


def read_lmbff(text: str) -> list[Placed]:
    """Parse an LM-BFF template into nodes.

    `_` is a space. `*sent_0*` becomes the field `<sent_0>`; in its name, `l` and `u` lower and raise the first letter,
    `-` drops the last character, and a `+` in front adds a space before it. `*sep+*` becomes `<sep>`. `*cls*` at the
    start and the separator at the end are dropped, since the tokenizer adds its own. LM-BFF puts a space before every
    label word, so the mask gets one too.

    Raises:
        TemplateSyntaxError: `text` breaks the rules of LM-BFF, or has no equivalent here.

    Source:
        Gao et al., ACL 2021, arXiv:2012.15723; the format is described at https://github.com/princeton-nlp/LM-BFF.

    >>> from softcloze import Template
    >>> print(Template.from_lmbff("*cls**sent_0*_It_was*mask*.*sep+*"))
    <sent_0> It was <mask>.
    >>> print(Template.from_lmbff("*cls**sentl_0*?*mask*,*+sentl_1**sep+*"))
    {{ sent_0 | lower_first }}? <mask>, {{ sent_1 | lower_first }}
    """
    pieces = text.split("*")
    if len(pieces) % 2 == 0:
        at = text.rfind("*")
        raise TemplateSyntaxError("this '*' is never closed: expected another one", text, at, at + 1)
    written = [i for i, piece in enumerate(pieces) if piece]
    placed: list[Placed] = []
    at = 0
    for i, piece in enumerate(pieces):
        end = at + len(piece)
        if i % 2 == 0:
            placed.append(Placed(Literal(piece.replace("_", " ")), at, end))
        elif not ((piece == "cls" and i == written[0]) or (piece in ("sep", "sep+") and i == written[-1])):
            if piece == "mask" and not pieces[i - 1].endswith(("_", " ", "\n", "\t")):
                placed.append(Placed(Literal(" "), at, at))
            placed += [Placed(node, at - 1, end + 1) for node in _variable(text, at, end)]
        at = end + 1
    return finish(text, placed)


def _variable(text: str, start: int, end: int) -> list[Node]:
    """The nodes of the variable `text[start:end]`, which is between stars."""
    name = text[start:end]
    match name:
        case "mask":
            return [Mask()]
        case "cls":
            return [Special("cls")]
        case "sep+":
            return [Special("sep")]
        case "sep":
            problem = "a separator without a new segment cannot be expressed: write *sep+*, which differs in BERT only"
            _fail(problem, text, start, end)
    if name.startswith("label"):
        _fail("a label's word cannot be expressed: <demos> writes labelled examples", text, start, end)
    sentence = _SENTENCE.fullmatch(name)
    if sentence is None:
        expected = f"expected one of *{'*, *'.join(_NAMES)}*"
        _fail(f"{quoted(name)} is not a variable: {expected}{did_you_mean(name, _NAMES)}", text, start, end)
    node = _sentence(sentence, field(f"sent_{sentence['number'].lstrip('0') or '0'}", text, start, end))
    return [Literal(" "), node] if sentence["space"] else [node]


def _sentence(sentence: re.Match[str], plain: Field) -> Node:
    filters = ["[:-1]"] * len(sentence["shorter"]) + [_LETTERS[letter] for letter in sentence["letter"]]
    return Expression(expression(plain.name, filters)) if filters else plain


def _fail(problem: str, text: str, start: int, end: int) -> NoReturn:
    raise TemplateSyntaxError(problem, text, start, end)
