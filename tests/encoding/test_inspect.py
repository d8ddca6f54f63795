"""`inspect` lists the tokens that `encode` returns."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from support import models
from support.properties import cases

from softcloze.encoding import CompiledTemplate, PromptTokenizer, TokenInfo
from softcloze.template import Template

SOURCES = (
    "<text> It was <mask>",
    "<soft*2> Review: <text> It was <soft name=tail><mask>.",
    "<mask>: <text><soft*2>",
    "(<text>) <soft*3 name=task>很<mask>，<soft*3 name=task>",
)


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


@cases()
@given(
    kind=st.sampled_from(models.TOKENIZERS),
    source=st.sampled_from(SOURCES),
    text=st.one_of(st.text(max_size=20), st.sampled_from(models.SENTENCES), st.text(alphabet="a好 \n", max_size=20)),
    max_length=st.integers(26, 60),
)
def test_inspected_tokens_are_the_encoded_prompt(kind, source, text, max_length):
    bound = CompiledTemplate(Template(source), prompt_tokenizer(kind), max_length)
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


def test_every_token_has_its_origin():
    bound = CompiledTemplate(Template("<soft*2 name=task> the <text> was <mask>"), prompt_tokenizer("wordpiece"), 10)
    assert bound.inspect("film film film film") == [
        TokenInfo("[CLS]", "special", "", True),
        TokenInfo("", "soft", "task", True),
        TokenInfo("", "soft", "task", True),
        TokenInfo("the", "literal", "", True),
        TokenInfo("film", "field", "text", True),
        TokenInfo("film", "field", "text", True),
        TokenInfo("film", "field", "text", True),
        TokenInfo("film", "field", "text", False),
        TokenInfo("was", "literal", "", True),
        TokenInfo("<mask>", "mask", "", True),
        TokenInfo("[SEP]", "special", "", True),
    ]
