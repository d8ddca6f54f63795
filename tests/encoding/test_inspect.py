"""What `inspect` shows is what `encode` gives."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from support import models
from support.properties import cases

from softcloze.encoding import CompiledTemplate, Piece, PromptTokenizer
from softcloze.template import Template

SOURCES = (
    "<text> It was <mask>",
    "<soft*2> Review: <text> It was <soft name=tail><mask>.",
    "<mask>: <text><soft*2>",
    "(<text>) <soft*3 name=task>很<mask>，<soft*3 name=task>",
)


@cache
def vocabulary(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


@cases()
@given(
    kind=st.sampled_from(models.TOKENIZERS),
    source=st.sampled_from(SOURCES),
    text=st.one_of(st.text(max_size=20), st.sampled_from(models.SENTENCES), st.text(alphabet="a好 \n", max_size=20)),
    max_length=st.integers(26, 60),
)
def test_pieces_are_the_encoded_prompt(kind, source, text, max_length):
    bound = CompiledTemplate(Template(source), vocabulary(kind), max_length)
    (prompt,) = bound.encode([text], answer_length=2)
    pieces = bound.inspect(text, answer_length=2)
    names = models.borrowed(kind).convert_ids_to_tokens
    expected = ["" if i < 0 else names(i) for i in prompt.left]
    expected += ["<mask>", *("" if i < 0 else names(i) for i in prompt.right)]
    assert [piece.token for piece in pieces if piece.kept] == expected
    assert [piece.kind for piece in pieces].count("mask") == 1
    cut = [piece for piece in pieces if not piece.kept]
    assert all((piece.kind, piece.name) == ("field", "text") for piece in cut)
    assert prompt.cut == ({"text": len(cut)} if cut else {})


def test_every_piece_says_where_it_comes_from():
    bound = CompiledTemplate(Template("<soft*2 name=task> the <text> was <mask>"), vocabulary("wordpiece"), 10)
    assert bound.inspect("film film film film") == [
        Piece("[CLS]", "special", "", True),
        Piece("", "soft", "task", True),
        Piece("", "soft", "task", True),
        Piece("the", "literal", "", True),
        Piece("film", "field", "text", True),
        Piece("film", "field", "text", True),
        Piece("film", "field", "text", True),
        Piece("film", "field", "text", False),
        Piece("was", "literal", "", True),
        Piece("<mask>", "mask", "", True),
        Piece("[SEP]", "special", "", True),
    ]
