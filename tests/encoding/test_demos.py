"""Demonstrations: written by the hard part of the template, tokenized with the prompt, dropped whole."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import models

from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer, TokenInfo
from softcloze.errors import EncodingError
from softcloze.template import Template

NO_LIMIT = 10**7
SHOWN = [
    Demonstration({"text": "A dull film."}, "bad"),
    Demonstration({"text": "这部电影很好。"}, "good"),
]


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def compiled(source, kind, max_length=NO_LIMIT, options=()):
    return CompiledTemplate(Template(source), prompt_tokenizer(kind), max_length, options=options)


def read(kind, prompt):
    """The token ids of the prompt, with a mask token at the mask."""
    mask = [models.borrowed(kind).mask_token_id] if kind in models.MASKED_TOKENIZERS else []
    return [*prompt.left, *mask, *prompt.right]


def tokenized(kind, text):
    """The tokenizer's ids of the whole text; `[M]` is the mask, which is last for a causal model."""
    tokenizer = models.borrowed(kind)
    if kind in models.MASKED_TOKENIZERS:
        return tokenizer(text.replace("[M]", tokenizer.mask_token))["input_ids"]
    return tokenizer(text.removesuffix("[M]").rstrip())["input_ids"]


WRITTEN = [
    ("<demos>{body}", "A dull film. It was bad\n\n这部电影很好。 It was good\n\nGreat! It was [M]"),
    ('<demos*2 sep="\\n">{body}', "A dull film. It was bad\n这部电影很好。 It was good\nGreat! It was [M]"),
    ('<demos sep="">{body}', "A dull film. It was bad这部电影很好。 It was goodGreat! It was [M]"),
    (
        "Judge:\n<demos>\n{body}",
        "Judge:\n\nA dull film. It was bad\n\n\n这部电影很好。 It was good\n\n\nGreat! It was [M]",
    ),
]


@pytest.mark.parametrize(("source", "text"), WRITTEN)
@pytest.mark.parametrize("kind", models.TOKENIZERS)
def test_a_prompt_with_demonstrations_is_the_rendered_string(kind, source, text):
    bound = compiled(source.format(body="<text> It was <mask>"), kind)
    (prompt,) = bound.encode(["Great!"], demonstrations=[SHOWN])
    assert read(kind, prompt) == tokenized(kind, text)
    assert (prompt.cut, prompt.dropped) == ({}, 0)
    assert bound.word_ids("good") == compiled("<text> It was <mask>", kind).word_ids("good")


@pytest.mark.parametrize("kind", models.MASKED_TOKENIZERS)
def test_demonstrations_after_the_text(kind):
    bound = compiled('(<options sep="/">) <text> It was <mask>.\n<demos>Bye', kind, options=["bad", "good"])
    (prompt,) = bound.encode(["Great!"], demonstrations=[SHOWN])
    shown = "(bad/good) A dull film. It was bad.\n\n\n(bad/good) 这部电影很好。 It was good.\n\n\n"
    assert read(kind, prompt) == tokenized(kind, f"(bad/good) Great! It was [M].\n{shown}Bye")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("<demos><soft*3> <text> It was <mask>", "Dull. It was bad|"),
        ("<demos><soft*3> <soft> <text> It was <soft> <mask>", "Dull. It was bad|"),
        ("<demos>Review: <soft*3><text> It was <soft><mask>", "Review: Dull. It was bad|"),
        ("<demos><text><soft*2> It was<soft> <mask> <soft>", "Dull. It was bad|"),
        ("<soft*4> Judge: <demos><text><mask>", "Dull.bad|"),
    ],
)
def test_soft_slots_leave_no_gap_in_a_demonstration(source, shown):
    source = source.replace("<demos>", '<demos sep="|">')
    kind = "gpt2"
    bound = compiled(source, kind)
    one = [Demonstration({"text": "Dull."}, "bad")]
    (prompt,) = bound.encode(["Great!"], demonstrations=[one])
    pieces = bound.inspect("Great!", demonstrations=one)
    assert "".join(piece.token for piece in pieces if piece.kind == "demo").replace("Ġ", " ") == shown
    demos = bound.encode(["Great!"], demonstrations=[[]])[0]
    assert (
        [i for i in prompt.left if i < 0]
        == [i for i in demos.left if i < 0]
        == [-1 - i for i in range(bound.soft_count - source.endswith("<soft>"))]
    )


def test_a_separator_in_a_demonstration():
    bound = compiled('<demos sep=" "><a><sep><b> <mask>', "wordpiece")
    shown = [Demonstration({"a": "good", "b": "film"}, "great")]
    (prompt,) = bound.encode([{"a": "bad", "b": "story"}], demonstrations=[shown])
    spelt = models.borrowed("wordpiece").convert_ids_to_tokens(prompt.left)
    assert " ".join(spelt) == "[CLS] good [SEP] film great bad [SEP] story"
    assert prompt.token_type_ids == (0, 0, 0, 1, 1, 1, 1, 1, 1, 1)


def words(n, word="film"):
    return " ".join([word] * n)


def test_the_first_demonstrations_are_dropped_first():
    """Each row drops as few demonstrations as possible, before any field is cut."""
    bound = compiled('<demos sep=" "><text> it was <mask>', "wordpiece", 40)
    shown = [Demonstration({"text": words(n)}, "good") for n in (9, 2, 5)]  # 12, 5 and 8 tokens
    rows = [words(n) for n in (1, 10, 11, 22, 23, 27, 28, 35, 36, 37)]
    prompts = bound.encode(rows, demonstrations=[shown] * len(rows))
    assert [prompt.dropped for prompt in prompts] == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3]
    assert [prompt.cut for prompt in prompts] == [{}] * 8 + [{"text": 1}, {"text": 2}]
    alone = [bound.encode([row], demonstrations=[shown[p.dropped :]])[0] for row, p in zip(rows, prompts, strict=True)]
    for prompt, demos in zip(prompts, alone, strict=True):
        assert (prompt.left, prompt.right, prompt.cut) == (demos.left, demos.right, demos.cut)
        assert len(prompt) + 1 <= 40


def test_a_field_is_cut_to_its_max_in_a_demonstration_too():
    bound = compiled('<demos sep=" "><text max=3 keep=tail> it was <mask>', "wordpiece", 18)
    shown = [Demonstration({"text": f"great {words(9)}"}, "good")]
    (prompt,) = bound.encode([f"the story is {words(3)}"], demonstrations=[shown])
    spelt = models.borrowed("wordpiece").convert_ids_to_tokens(prompt.left)
    assert " ".join(spelt) == "[CLS] film film film it was good film film film it was"
    assert prompt.cut == {"text": 3}  # only the tokens that the example lost
    assert prompt.dropped == 0


def test_too_long_even_without_demonstrations():
    bound = compiled("<demos>the film <text shorten=0> it was <mask>", "wordpiece", 9)
    with pytest.raises(EncodingError, match=r"^row 1: fields with shorten=0 are 4 tokens too long"):
        bound.encode(["good", words(6)], demonstrations=[SHOWN, SHOWN])


@settings(deadline=None, max_examples=50)
@given(
    kind=st.sampled_from(models.TOKENIZERS),
    texts=st.lists(st.sampled_from(models.SENTENCES), min_size=1, max_size=4),
    shown=st.lists(st.sampled_from(models.SENTENCES), max_size=4),
    limit=st.integers(30, 120),
)
def test_rows_do_not_depend_on_each_other(kind, texts, shown, limit):
    bound = compiled("Judge. <demos>Review: <text shorten=2>\nIt was <soft*2> <mask>", kind, limit)
    lists = [[Demonstration({"text": text}, "good") for text in shown[i:]] for i in range(2)]
    given = [lists[i % 2] for i in range(len(texts))]
    together = bound.encode(texts, answer_length=2, demonstrations=given)
    for text, demos, prompt in zip(texts, given, together, strict=True):
        assert bound.encode([text], answer_length=2, demonstrations=[demos]) == [prompt]
        assert len(prompt) + 2 <= limit
        assert sum(i < 0 for i in prompt.left) == 2
        assert not (prompt.cut and prompt.dropped < len(demos))
        pieces = bound.inspect(text, answer_length=2, demonstrations=demos)
        assert sum(piece.kept for piece in pieces) == len(prompt) + 1
        assert (prompt.dropped < len(demos)) == any(piece.kind == "demo" for piece in pieces)


def test_shared_demonstrations_are_written_once(monkeypatch):
    bound = compiled("<demos><text> It was <mask>", "wordpiece")
    written = []
    demonstrate = bound._renderer.write_demonstration
    monkeypatch.setattr(bound._renderer, "write_demonstration", lambda one: written.append(one) or demonstrate(one))
    bound.encode(["good"] * 50, demonstrations=[SHOWN] * 50)
    assert len(written) == 2
    bound.encode(["good"] * 50, demonstrations=[SHOWN[i % 2 :] for i in range(50)])
    assert len(written) == 4


def test_a_template_with_demos_may_show_none(kind):
    (none,) = compiled("<demos><text> It was <mask>", kind).encode(["good"])
    assert [none] == compiled("<text> It was <mask>", kind).encode(["good"])


def test_demonstrations_in_inspect():
    bound = compiled('<demos sep=" ; "><text> was <mask>', "wordpiece")
    pieces = bound.inspect("film", demonstrations=[Demonstration({"text": "story"}, "bad")])
    assert pieces == [
        TokenInfo("[CLS]", "special", "", True),
        *(TokenInfo(token, "demo", "", True) for token in ("story", "was", "bad", ";")),
        TokenInfo("film", "field", "text", True),
        TokenInfo("was", "literal", "", True),
        TokenInfo("<mask>", "mask", "", True),
        TokenInfo("[SEP]", "special", "", True),
    ]


@pytest.mark.parametrize("kind", models.MASKED_TOKENIZERS)
def test_demonstrations_of_several_masks(kind):
    bound = compiled('<demos sep="/"><soft><text> It was <mask name=a>, <mask name=b>!', kind)
    shown = [Demonstration({"text": "Dull."}, {"b": "bad", "a": "差"})]
    (prompt,) = bound.encode(["Great!"], demonstrations=[shown])
    mask = models.borrowed(kind).mask_token_id
    ids = [i for i in (*prompt.left, mask, *prompt.between[0], mask, *prompt.right) if i >= 0]
    (plain,) = compiled("Dull. It was 差, bad!/<soft><text> It was <mask name=a>, <mask name=b>!", kind).encode(
        ["Great!"]
    )
    assert ids == [i for i in (*plain.left, mask, *plain.between[0], mask, *plain.right) if i >= 0]
