"""Prompts for seq2seq models: the answer position is a sentinel, or BART's mask token."""

from functools import cache

import pytest
from support import models

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.lint import check_verbalizer, lint
from softcloze.lint.tokens import check_tokens
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

KINDS = {"t5": "<extra_id_0>", "mt5": "<extra_id_0>", "roberta": "<mask>"}


@pytest.fixture(params=list(KINDS))
def kind(request):
    """The tokenizers of T5, mT5 and BART."""
    return request.param


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=True, decoder=True)


def compiled(source, kind, max_length=64):
    return CompiledTemplate(Template(source), prompt_tokenizer(kind), max_length)


def row(prompt, kind):
    return [*prompt.left, prompt_tokenizer(kind).mask_id, *prompt.right]


TEMPLATES = [
    ("<text> It was <mask>", "{text} It was {blank}"),
    ("<text> It was <mask> in all", "{text} It was {blank} in all"),
    ("<mask> film: <text>", "{blank} film: {text}"),
    ("<text> 总之，很 <mask> 。", "{text} 总之，很 {blank} 。"),
]


@pytest.mark.parametrize(("source", "written"), TEMPLATES)
@pytest.mark.parametrize("text", ["A good film, the best of the year", "这部电影很好，演员也很好。"])
def test_a_prompt_has_the_ids_of_the_original_tokenizer(kind, source, written, text):
    (prompt,) = compiled(source, kind).encode([text])
    assert row(prompt, kind) == models.borrowed(kind)(written.format(text=text, blank=KINDS[kind]))["input_ids"]


@pytest.mark.parametrize(
    ("source", "written"), [("<text>，很<mask>。", "{text}，很{blank}。"), ("(<mask>)<text>", "({blank}){text}")]
)
@pytest.mark.parametrize("kind", ["t5", "roberta"])
def test_also_without_white_space(kind, source, written):
    (prompt,) = compiled(source, kind).encode(["这部电影"])
    assert row(prompt, kind) == models.borrowed(kind)(written.format(text="这部电影", blank=KINDS[kind]))["input_ids"]


@pytest.mark.parametrize("name", ["<extra_id_0>", "▁<extra_id_0>", "<extra_id_1>", "<mask>", "</s>", "<pad>", "<s>"])
def test_special_tokens_in_a_field_are_text(kind, name):
    for text in (name, f"x {name} y", f"好{name}好"):
        (prompt,) = compiled("<text> It was <mask>.", kind).encode([text])
        (harmless,) = compiled("<text> It was <mask>.", kind).encode(["x y"])
        special = {*models.borrowed(kind).all_special_ids, *prompt_tokenizer(kind).sentinels}
        unknown = models.borrowed(kind).unk_token_id  # from characters outside the vocabulary
        specials = [[i for i in (*p.left, *p.right) if i in special - {unknown}] for p in (prompt, harmless)]
        assert specials[0] == specials[1]
        assert prompt_tokenizer(kind).mask_id not in prompt.left


@pytest.mark.parametrize("kind", ["t5", "mt5"])
@pytest.mark.parametrize("word", ["good", "really good", "terrible", "好", "不好"])
def test_a_label_word_is_what_follows_the_sentinel_in_a_target(kind, word):
    target = models.borrowed(kind)(f"<extra_id_0> {word} <extra_id_1>")["input_ids"]
    first, second = prompt_tokenizer(kind).sentinels[:2]
    expected = target[target.index(first) + 1 : target.index(second)]
    assert list(compiled("<text> It was <mask>.", kind).word_ids(word)) == expected


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_a_label_word_within_running_text_is_what_was_left_out_of_it(kind):
    spelt = prompt_tokenizer(kind).token
    for source, word in (("<text>，很<mask>", "好"), ("<text> (<mask>)", "good")):
        assert not spelt(compiled(source, kind).word_ids(word)[0]).startswith("▁")
        assert spelt(compiled(source.replace("<mask>", " <mask>"), kind).word_ids(word)[0]).startswith("▁")


def test_the_end_token_is_the_tokenizer_s(kind):
    (prompt,) = compiled("<text> It was <mask>", kind).encode(["good"])
    assert prompt.right == (models.borrowed(kind).eos_token_id,)
    (written,) = compiled("<text> It was <mask><eos>", kind).encode(["good"])
    assert written == prompt


@pytest.mark.parametrize("answer", [None, 1, 5])
def test_a_sentinel_takes_one_position_whatever_the_word(answer):
    (prompt,) = compiled("<soft*4><text> It was <mask>.", "t5", 20).encode(["good " * 30], answer_length=answer)
    assert len(prompt) + 1 == 20
    assert prompt.cut == {"text": 30 - sum(prompt.left.count(i) for i in prompt_tokenizer("t5").ids("good"))}
    assert prompt.left[:4] == (-1, -2, -3, -4)


def test_bart_writes_the_word_after_the_text():
    bound = compiled("<text> It was <mask>.", "roberta", 20)
    (prompt,) = bound.encode(["good " * 30], answer_length=5)
    assert len(prompt) + 5 == 20


def test_a_template_that_is_too_long(kind):
    with pytest.raises(EncodingError, match=r"the template alone is .* tokens too long"):
        compiled("<soft*20><text> It was <mask>.", kind, 20).encode(["good"])


def test_inspect(kind):
    pieces = compiled("<soft*2> film <mask>", kind).inspect({})
    assert [piece.kind for piece in pieces if piece.kind not in ("special", "literal")] == ["soft", "soft", "mask"]
    assert pieces[-1].token == "</s>"


def test_a_tokenizer_without_its_model():
    guesses = {kind: PromptTokenizer.guessed(models.borrowed(kind)) for kind in ("t5", "mt5", "wordpiece", "gpt2")}
    assert {kind: (v.decoder, v.mask_id is None) for kind, v in guesses.items()} == {
        "t5": (True, False),
        "mt5": (True, False),
        "wordpiece": (False, False),
        "gpt2": (False, True),
    }


def test_check():
    template = Template("<text> It was <mask> in all")
    words = Verbalizer({"good": "good", "better": "good film", "bad": "bad"})
    codes = {finding.code for finding in check_tokens(template, prompt_tokenizer("t5"), 64, words)}
    assert "word-in-word" in codes  # although text follows the mask
    assert "after-mask" not in codes
    assert codes == {finding.code for finding in lint(template, words, tokenizer=models.borrowed("t5"))}
    assert not check_verbalizer(words, models.borrowed("mt5")).works


def test_check_counts_a_sentinel_once():
    words = Verbalizer({"good": "good and great and wonderful", "bad": "bad"})
    source = "<text> It was <mask>."
    size = len(compiled(source, "t5").encode([""])[0]) + 1
    for limit, codes in ((size, ["few-positions"]), (size - 1, ["too-long"])):
        findings = check_tokens(Template(source), prompt_tokenizer("t5"), limit, words)
        assert [finding.code for finding in findings if finding.source == source] == codes
