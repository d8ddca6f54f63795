"""Token ids of label words: the count of the mask, and the white space before it."""

from functools import cache

import pytest
from support import models

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.template import Template


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def compiled(source, kind):
    return CompiledTemplate(Template(source), prompt_tokenizer(kind), 64)


def test_a_mask_of_fixed_length(kind):
    free = compiled("It was <mask>", kind)
    words = {word: len(free.word_ids(word)) for word in ("good", "really good", "really bad", "很满意")}
    assert len(set(words.values())) > 1
    for count in set(words.values()):
        fixed = compiled(f"It was <mask*{count}>", kind)
        for word, length in words.items():
            if length == count:
                assert fixed.word_ids(word) == free.word_ids(word)
                continue
            spelt = " ".join(prompt_tokenizer(kind).token(i) for i in free.word_ids(word))
            with pytest.raises(EncodingError) as caught:
                fixed.word_ids(word)
            assert f"label word {word!r} has {length} tokens in this model's vocabulary, {spelt}, where <mask*" in str(
                caught.value
            )
            assert f"<mask*{count}> takes words of {count};" in str(caught.value)


def test_a_mask_of_fixed_length_is_one_token_in_inspect(kind):
    pieces = compiled("<text> was <mask*2>.", kind).inspect("good", answer_length=2)
    assert [piece.token for piece in pieces].count("<mask>") == 1
    assert compiled("<text> was <mask*2>.", kind).encode(["good"]) == compiled("<text> was <mask>.", kind).encode(
        ["good"]
    )


@pytest.mark.parametrize(
    ("source", "like"),
    [
        ("It was {% if a %}really {% endif %}<mask>", "really <mask>"),
        ("It was{% if a %} really{% endif %} <mask>", "It was really <mask>"),
        ("It was {% if a %}very {% endif %}{% if b %}{% endif %}<mask>", "very <mask>"),
        ("It was {{ a }}<mask>", "<a><mask>"),
        ("It was {{ a }} <mask>", "<a> <mask>"),
        ("It was{% if a %} {% endif -%}  <mask>", "It was <mask>"),
        ("It was {%- if a %} {% endif -%}  <mask>", "It was <mask>"),
        ("{% if a %}It was{% endif %} <mask>", "It was <mask>"),
        ("{% if a %}It was {% else %}很{% endif %}<mask>", "很<mask>"),
        ("{% if a %}{% endif %}<mask>", "<mask>"),
        ("<bos><mask>", "<mask>"),
    ],
)
@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
def test_white_space_of_the_nearest_literal(kind, source, like):
    if source.startswith("<bos>") and kind == "gpt2":
        return  # which adds no space itself
    assert compiled(source, kind).word_ids("good") == compiled(like, kind).word_ids("good")


def test_each_mask_has_its_own_space_and_number_of_tokens():
    bound = CompiledTemplate(
        Template("It was <mask name=a>, (<mask*2 name=b>) 很<mask name=c>"),
        PromptTokenizer(models.borrowed("gpt2"), masked=False),
        64,
    )
    tokenizer = models.borrowed("gpt2")
    for mask, text in (("a", " good"), ("b", "good"), ("c", "good")):
        assert list(bound.word_ids("good", mask)) == tokenizer(text)["input_ids"]
    with pytest.raises(
        EncodingError, match=r"where <mask\*2 name=b> takes words of 2; .* or write <mask name=b>, which"
    ):
        bound.word_ids("good film", "b")
