"""Tokens as readable text."""

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import models

from softcloze.encoding import PromptTokenizer
from softcloze.encoding.tokens import detokenize

BYTE_LEVEL = ("roberta", "gpt2")


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def spelt(kind, text):
    bound = prompt_tokenizer(kind)
    return list(detokenize(map(bound.token, bound.ids(text)), byte_level=bound.byte_level))


@pytest.mark.parametrize("kind", models.TOKENIZERS)
def test_byte_level_tokenizers(kind):
    assert prompt_tokenizer(kind).byte_level == (kind in BYTE_LEVEL)


@settings(deadline=None, max_examples=200)
@given(kind=st.sampled_from(models.TOKENIZERS), text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_token_is_shown_once(kind, text):
    bound = prompt_tokenizer(kind)
    texts = spelt(kind, text)
    assert sum(count for _, count in texts) == len(bound.ids(text))
    assert all(count >= 1 for _, count in texts)
    if kind in BYTE_LEVEL:
        assert "".join(text_of_token for text_of_token, _ in texts) == text.replace(" ", "␣")


def test_tokens_of_one_character_are_joined():
    assert spelt("gpt2", " 龘😀\n") == [("␣", 1), ("龘", 3), ("😀", 4), ("\n", 1)]
    assert spelt("gemma", "龘\x00") == [("龘", 3), ("\x00", 1)]


def test_other_tokens_are_unchanged():
    assert spelt("wordpiece", "gooda") == [("good", 1), ("##a", 1)]
    assert list(detokenize(["▁good", "<0xE4>", "▁", "<0xE4"], byte_level=False)) == [
        ("▁good", 1),
        ("\ufffd", 1),
        ("▁", 1),
        ("<0xE4", 1),
    ]


def test_special_tokens_with_letters_without_a_byte():
    assert list(detokenize(["ä½", "<｜end｜>", "Ġ"], byte_level=True)) == [("\ufffd", 1), ("<｜end｜>", 1), ("␣", 1)]


def test_undecodable_bytes():
    assert list(detokenize(["ÿ", "Ġa"], byte_level=True)) == [("\ufffd", 1), ("␣a", 1)]
    assert re.fullmatch("\ufffd+", next(detokenize(["ä"], byte_level=True))[0])
