"""Data of `softcloze inspect`: an example, its tokens and the label words; rendered in inspect_render."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from softcloze.data import Example
from softcloze.encoding import CompiledTemplate, Demonstration, TokenInfo
from softcloze.encoding.parts import write_demonstration
from softcloze.encoding.tokens import detokenize
from softcloze.errors import SoftclozeError
from softcloze.template import EMBEDDING, Demos, Field, Literal, Options, Part, Soft, Template
from softcloze.template.describe import kind_of
from softcloze.template.nodes import write

if TYPE_CHECKING:
    from softcloze.verbalizer import Verbalizer


# shown for a soft slot, which has no token: ◆@6-11 for layers=6-11, ◆@all:replace with mode=replace; ◆←text for
# from=text, ◆←text:states with from_by=states
SLOT = "◆"


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """A token, or tokens that share a character.

    Attributes:
        text: readable text of the tokens.
        pieces: the tokens.
    """

    text: str
    pieces: tuple[TokenInfo, ...]


@dataclass(frozen=True, slots=True)
class TokenView:
    """The tokens of an example.

    Attributes:
        cells: all tokens in order, with those cut from fields.
        limit: longest prompt in tokens.
        answer: tokens reserved for the masks: those of the longest label word, or one for each of several masks; or
            for the answer, if it is in the same sequence as the prompt.
        shown: number of demonstrations in the prompt.
        dropped: number of demonstrations left out because they did not fit.
        second: tokens of the second segment; 0 if there is only one segment.
    """

    cells: tuple[TokenGroup, ...]
    limit: int
    answer: int
    shown: int = 0
    dropped: int = 0
    second: int = 0

    @property
    def counts(self) -> Counter[tuple[str, str, bool]]:
        """Number of tokens by kind, name, and whether they were kept."""
        return Counter((piece.kind, piece.name, piece.kept) for cell in self.cells for piece in cell.pieces)

    @property
    def notes(self) -> list[str]:
        """Remarks on the tokens as a whole."""
        kinds = [piece.kind for cell in self.cells for piece in cell.pieces if piece.kept]
        beyond = self.answer - kinds.count("mask") - kinds.count("answer")
        what = "the answer" if "answer" in kinds else "the label word in the mask's place"
        answer = f", {self.answer} of them kept for {what}" if beyond > 0 else ""
        notes = [f"{len(kinds) - kinds.count('stop') + beyond:,} of {self.limit:,} positions{answer}"]
        if self.shown + self.dropped:
            left_out = f", {self.dropped:,} left out because they do not fit" if self.dropped else ""
            notes.append(f"{self.shown:,} of {self.shown + self.dropped:,} demonstrations{left_out}")
        if self.second:
            notes.append(f"second segment: the last {self.second:,} tokens, the mask counted once")
        return notes


@dataclass(frozen=True, slots=True)
class WordView:
    """A label word with its readable tokens and their number."""

    label: str
    word: str
    tokens: str
    count: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything that `softcloze inspect` shows.

    Attributes:
        template: the template.
        filled: kind and text of each part of the filled template; empty without an example.
        tokens: tokens of the example; None without a model.
        words: the label words.
        model: name of the model.
        problem: error of the label words, if any.
    """

    template: Template
    filled: Sequence[tuple[str, str]] = ()
    tokens: TokenView | None = None
    words: Sequence[WordView] = ()
    model: str = ""
    problem: SoftclozeError | None = None


def token_view(
    compiled: CompiledTemplate, example: Example, answer: int, demonstrations: Sequence[Demonstration]
) -> TokenView:
    """The tokens of `example`, with `answer` tokens reserved for the masks.

    Raises:
        EncodingError: the parts that must not be cut are too long.
    """
    pieces = compiled.inspect(example, answer_length=answer, demonstrations=demonstrations)
    (prompt,) = compiled.encode([example], answer_length=answer, demonstrations=[demonstrations])
    return TokenView(
        cells=tuple(cells_of(pieces, byte_level=compiled.prompt_tokenizer.byte_level)),
        limit=compiled.max_length,
        answer=answer,
        shown=len(demonstrations) - prompt.dropped,
        dropped=prompt.dropped,
        second=sum(prompt.token_type_ids) if prompt.token_type_ids is not None else 0,
    )


def cells_of(pieces: Sequence[TokenInfo], *, byte_level: bool) -> list[TokenGroup]:
    """Group tokens that share a character; `byte_level` as for `detokenize`.

    >>> tokens = [TokenInfo("å¾", "field", "text", True), TokenInfo("Ī", "field", "text", True)]
    >>> tokens.append(TokenInfo("", "soft", "#1", True))
    >>> [(cell.text, len(cell.pieces)) for cell in cells_of(tokens, byte_level=True)]
    [('很', 2), ('◆', 1)]
    """
    left = iter(pieces)
    spelt = detokenize((piece.token for piece in pieces), byte_level=byte_level)
    cells = [TokenGroup(text, tuple(islice(left, count))) for text, count in spelt]
    return [TokenGroup(SLOT, cell.pieces) if cell.pieces[0].kind == "soft" else cell for cell in cells]


def word_view(verbalizer: "Verbalizer", compiled: CompiledTemplate) -> list[WordView]:
    """The label words with their tokens at the mask.

    Raises:
        EncodingError: a word has no tokens, or the wrong number.
    """
    views = []
    for label, words in verbalizer.label_words().items():
        for word in words:
            ids = compiled.word_ids(word)
            spelt = detokenize(
                map(compiled.prompt_tokenizer.token, ids), byte_level=compiled.prompt_tokenizer.byte_level
            )
            views.append(WordView(str(label), word, " ".join(text for text, _ in spelt), len(ids)))
    return views


def filled(
    template: Template,
    values: Mapping[str, object],
    options: Sequence[str] = (),
    demonstrations: Sequence[Demonstration] | None = None,
) -> list[tuple[str, str]]:
    """Fill the template with an example: kind and text of each part, or the tag of a part without a value.

    Raises:
        FieldError: Jinja uses a value that is missing or of the wrong kind.
        TemplateLogicError: Jinja makes too much of the example, or not every mask exactly once.

    >>> filled(Template("<soft*2 layers=6-11> <text> (<options>): <mask>"), {"text": "很好"}, ["good", "bad"])
    [('soft', '◆◆@6-11'), ('literal', ' '), ('field', '很好'), ('literal', ' ('), ('options', 'good, bad'),
     ('literal', '): '), ('mask', '<mask>')]
    >>> filled(Template("<text>: <answer>##"), {"text": "很好"})[1:]
    [('literal', ': '), ('answer', '<answer>'), ('stop', '##')]
    >>> filled(Template("<soft layers=all mode=replace><text><mask>"), {"text": "很好"})[0]
    ('soft', '◆@all:replace')
    """

    def text_of(part: Part) -> str:
        match part.node:
            case Literal() | Field():
                return part.text
            case Soft():
                block = part.block
                if block is None:
                    return SLOT
                slots = SLOT * (block.count if block.count is not None else 1)
                if block.from_ is not None:
                    source = f"{block.from_}{':states' if block.from_by == 'states' else ''}"
                    mode = ":replace" if block.mode == "replace" and block.late else ""
                    return f"{slots}←{source}{f'@{block.layers}{mode}' if block.late else ''}"
                if block.layers == EMBEDDING:
                    return slots
                return f"{slots}@{block.layers}{':replace' if block.mode == 'replace' else ''}"
            case Options(field=str()):
                return part.text
            case Options(sep) if options:
                return sep.join(options)
            case Demos() if demonstrations is not None:
                parts = (write_demonstration(template, one, options) for one in demonstrations)
                return "".join(text_of(inner) for one in parts for inner in one)
            case _:
                return "".join(write([part.node]))

    pieces = [(kind_of(part.node), text_of(part)) for part in template.expand(values)]
    if template.stop is not None:
        pieces[-1] = ("stop", template.stop)
    return pieces
