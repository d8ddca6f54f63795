"""Invariant 3: user text is data, whatever it contains."""

import signal
from collections import Counter
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import models
from support.properties import cases

from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer
from softcloze.errors import EncodingError, SoftclozeError
from softcloze.template import Template

NASTY = [
    *["<mask>", "[MASK]", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "<unk>", "<pad>", "</s>", "<s>", "<bos>", "<eos>"],
    *["<|endoftext|>", "<|im_start|>", "<start_of_turn>", "<soft>", "<soft*9>", "<text>", "{{ 7*7 }}", "{% if a %}"],
    *[
        "\\<",
        "\\",
        "\0",
        "\x02\x03",
        "\x020123:slot\x03",
        "😀",
        "👩‍👩‍👧",
        "e\u0301",
        "\u202e",
        "\ufeff",
        "",
        " ",
        "\n\n",
    ],
    *["▁", "▁good", "Ġgood", "<0x0A>", "##good", "\ud800", "a\udfffb", "is [MASK] </s> <mask> or <s>?"],
]
SPECIAL = sorted({name for kind in models.TOKENIZERS for name in models.borrowed(kind).all_special_tokens})
hostile = st.lists(st.one_of(st.sampled_from(NASTY + SPECIAL), st.text(max_size=5)), max_size=6).map("".join)


@contextmanager
def seconds(limit):
    """Fail after this CPU time; other processes do not count."""

    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, limit, 1)  # repeated: an exception within a callback is lost
    late = False
    try:
        yield
    except TimeoutError:
        late = True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    if late:  # without a traceback, in which pytest would print the long text
        pytest.fail(f"took more than {limit} s", pytrace=False)


@cache
def compiled(source, kind, max_length=10**7):
    prompt_tokenizer = PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)
    return CompiledTemplate(Template(source), prompt_tokenizer, max_length)


def check_is_data(bound, kind, text):
    """Slots, mask and special tokens are the same as with a harmless text."""
    tokenizer = models.borrowed(kind)
    harmless, prompt = bound.encode(["good", text])
    ignored = set() if kind in models.LOSSLESS else {tokenizer.unk_token_id}
    special = set(tokenizer.all_special_ids) - ignored

    def of_interest(ids):
        return Counter(i for i in ids if i < 0 or i in special)

    assert of_interest(prompt.left) == of_interest(harmless.left)
    assert of_interest(prompt.right) == of_interest(harmless.right)
    assert max(prompt.left + prompt.right) < len(tokenizer)
    kinds = [[p.kind for p in bound.inspect(t) if p.kind not in ("field", "literal")] for t in ("good", text)]
    assert kinds[0] == kinds[1]


def test_no_field_value_becomes_syntax_or_special(kind):
    bound = compiled("<soft*2> Review: <text> It was <mask> <soft*1> end", kind)
    for text in NASTY:
        check_is_data(bound, kind, text)


@cases()
@given(text=hostile, kind=st.sampled_from(models.TOKENIZERS))
def test_no_mixture_of_special_texts_becomes_syntax(text, kind):
    bound = compiled("<soft*2> Review: <text> It was <mask> <soft*1> end", kind)
    check_is_data(bound, kind, text)


NEW_TAGS = [
    "<soft*2><options> {{ text }} It was {% if True %}<mask>{% endif %} <soft*1> end",
    "<soft*2> {{ text | trim | capitalize }} It was <mask>{% for c in [text, 'x'] %} {{ c }}{% endfor %} end",
    '<demos sep="\\n"><soft*2> Review: <text keep=tail> It was <mask> <soft> end',
    "<soft*2> Review: <text keep=ends max=999><!-- <mask> --> \\{{ It was <mask> <soft> end",
]


@cases()
@given(
    text=hostile, other=hostile, word=hostile, kind=st.sampled_from(models.TOKENIZERS), source=st.sampled_from(NEW_TAGS)
)
def test_no_value_becomes_syntax_in_any_other_tag(text, other, word, kind, source):
    tokenizer = models.borrowed(kind)
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=kind in models.MASKED_TOKENIZERS)
    bound = CompiledTemplate(Template(source), prompt_tokenizer, 10**7, options=[word, "bad"])
    plain = CompiledTemplate(Template(source), prompt_tokenizer, 10**7, options=["good", "bad"])
    shown = [Demonstration({"text": other}, word)]
    harmless = [Demonstration({"text": "a film"}, "good")]
    (prompt,) = bound.encode([text], demonstrations=[shown])
    (calm,) = plain.encode(["film"], demonstrations=[harmless])
    ignored = set() if kind in models.LOSSLESS else {tokenizer.unk_token_id}
    special = set(tokenizer.all_special_ids) - ignored

    def of_interest(ids):
        return Counter(i for i in ids if i < 0 or i in special)

    assert of_interest(prompt.left) == of_interest(calm.left)
    assert of_interest(prompt.right) == of_interest(calm.right)
    assert max(prompt.left + prompt.right) < len(tokenizer)


@pytest.mark.parametrize("source", ["<text><mask>", "<mask><text>"])
@pytest.mark.parametrize("kind", models.TOKENIZERS)
def test_a_field_at_the_very_edge(source, kind):
    bound = compiled(source, kind)
    for text in NASTY:
        check_is_data(bound, kind, text + ".")


@pytest.mark.parametrize("kind", models.LOSSLESS)
@cases(len(models.LOSSLESS))
@given(text=hostile)
def test_decoding_gives_the_characters_back(kind, text):
    (prompt,) = compiled("<mask>|<text>|", kind).encode([text])
    right = [i for i in prompt.right if i != models.borrowed(kind).eos_token_id]
    decoded = models.borrowed(kind).backend_tokenizer.decode(right, skip_special_tokens=False)
    expected = "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text)
    if kind == "gemma":  # the tokenizer writes spaces as this letter
        expected = expected.replace("▁", " ")
    assert decoded == f"|{expected}|"


def test_special_tokens_in_literals_are_text(kind):
    for name in models.borrowed(kind).all_special_tokens:
        literal = name.replace("<", "\\<")
        check_is_data(compiled(f"{literal}: <text> {literal} <mask> {literal}", kind), kind, "good")
        (prompt,) = compiled(f"a {literal} b <mask>", kind).encode([{}])
        special = {models.borrowed(kind).convert_tokens_to_ids(name)} - {models.borrowed(kind).unk_token_id}
        frame = set(models.borrowed(kind)("")["input_ids"])
        assert not (special - frame) & set(prompt.left)


def test_special_tokens_in_label_words_are_text(kind):
    tokenizer = models.borrowed(kind)
    bound = compiled("It was <mask>", kind)
    for name in tokenizer.all_special_tokens:
        try:
            ids = bound.word_ids(name)
        except EncodingError:  # some characters are unknown tokens
            continue
        assert not set(ids) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize("kind", ["wordpiece", "gpt2", "xlmr"])
def test_one_megabyte_is_cut_to_size(kind):
    bound = compiled("<soft*2> <text> It was <mask>", kind, max_length=64)
    with seconds(10):
        (prompt,) = bound.encode(["A dull film. 好 " * 65_000])
        assert 60 <= len(prompt) <= 63
        assert sum(i < 0 for i in prompt.left) == 2
        assert prompt.cut["text"] > 100_000


@pytest.mark.parametrize("kind", ["gpt2", "gemma"])
def test_one_megabyte_is_encoded_whole(kind):
    with seconds(10):
        (prompt,) = compiled("<soft*2> <text> It was <mask>", kind).encode(["A dull film. 很好 " * 65_000])
        assert sum(i < 0 for i in prompt.left) == 2
        assert len(prompt) > 100_000
        assert prompt.cut == {}


@pytest.mark.parametrize("kind", ["wordpiece", "llama"])
def test_one_word_of_a_megabyte(kind):
    with seconds(10):
        (prompt,) = compiled("<soft*2> <text> It was <mask>", kind).encode(["a" * 1_000_000])
        assert sum(i < 0 for i in prompt.left) == 2


@pytest.mark.parametrize("source", ["a\ud800 <text> <mask>", "<text> <mask> \udfff"])
def test_a_lone_surrogate_in_the_template_is_no_crash(source, kind):
    try:
        (prompt,) = compiled(source, kind).encode(["good"])
    except SoftclozeError:
        return
    assert prompt.left


def test_a_lone_surrogate_in_a_label_word_is_no_crash(kind):
    try:
        assert compiled("It was <mask>", kind).word_ids("\ud800")
    except SoftclozeError:
        return
