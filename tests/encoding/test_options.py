"""<options>: the label words as text in the prompt."""

from functools import cache

import pytest
from support import models

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.template import Template


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def compiled(source, kind, options=("good", "很差")):
    return CompiledTemplate(Template(source), prompt_tokenizer(kind), 64, options=options)


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("Good or bad (<options>)? <text> <mask>.", "Good or bad (good, 很差)? <text> <mask>."),
        ('<options sep="/">: <text> <mask>.', "good/很差: <text> <mask>."),
        ('<text> <options sep="\\n"> <mask>', "<text> good\n很差 <mask>"),
        ("<text> <options><mask>", "<text> good, 很差<mask>"),
        ("<text>: <mask> of <options>", "<text>: <mask> of good, 很差"),
        ("<options><soft*2><options> <soft> <mask>", "good, 很差<soft*2>good, 很差 <soft> <mask>"),
    ],
)
def test_options_are_a_literal(kind, source, written):
    bound, plain = compiled(source, kind), compiled(written, kind, options=())
    texts = ["A film." if "<text>" in source else {}]
    assert bound.encode(texts) == plain.encode(texts)
    assert bound.word_ids("good") == plain.word_ids("good")
    assert bound.first_words == plain.first_words
    assert bound.inspect(texts[0]) == plain.inspect(texts[0])


def test_label_words_are_text(kind):
    special = models.borrowed(kind).all_special_tokens
    (prompt,) = compiled("<options> <text> <mask>", kind, options=[*special, "<soft*9>", "<mask>"]).encode(["good"])
    (plain,) = compiled("<text> <mask>", kind).encode(["good"])
    unknown = {models.borrowed(kind).unk_token_id}
    ids = set(models.borrowed(kind).all_special_ids) - unknown
    assert [i for i in prompt.left if i in ids] == [i for i in plain.left if i in ids]
    assert min(prompt.left) >= 0


def test_without_label_words():
    with pytest.raises(EncodingError, match="<options> lists the label words, and none are given"):
        compiled("<options> <text> <mask>", "gpt2", options=())
