"""Invariant 4: truncation takes from the fields and from nothing else."""

import re
from functools import cache

import models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.encoding import CompiledTemplate, EncodingError, Vocabulary
from softcloze.encoding.truncation import shares, whole_characters
from softcloze.template import Template

TWO_FIELDS = "<soft*3> the film: <a> the story: <b> it was <mask> and <soft> well"
MOST = 10**6


@cache
def vocabulary(kind):
    return Vocabulary(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def compiled(source, kind, max_length=MOST):
    return CompiledTemplate(Template(source), vocabulary(kind), max_length)


def spelt(kind, ids):
    return [i if i < 0 else models.borrowed(kind).convert_ids_to_tokens(i) for i in ids]


def keep_longest_first(lengths, budget):
    """Take one token after another from the field that is longest at the time."""
    lengths = list(lengths)
    while sum(lengths) > budget:
        lengths[lengths.index(max(lengths))] -= 1
    return lengths


@settings(deadline=None, max_examples=100)
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5), budget=st.integers(0, 100))
def test_the_longest_field_gives_first(lengths, budget):
    kept = shares(lengths, budget)
    assert sorted(kept) == sorted(keep_longest_first(lengths, budget))
    assert all(k <= length for k, length in zip(kept, lengths, strict=True))
    assert sum(kept) == min(budget, sum(lengths))


@settings(deadline=None, max_examples=100)
@given(sizes=st.lists(st.integers(1, 4), max_size=6), kept=st.integers(0, 30))
def test_a_character_is_kept_whole_or_not_at_all(sizes, kept):
    spans = [(at, at + 1) for at, size in enumerate(sizes) for _ in range(size)]
    kept = min(kept, len(spans))
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    assert whole_characters(spans, kept) == max(end for end in ends if end <= kept)


@settings(deadline=None, max_examples=100)
@given(a=st.integers(0, 25), b=st.integers(0, 25), spare=st.integers(0, 50), answer=st.integers(1, 3))
def test_only_words_of_the_fields_vanish(a, b, spare, answer):
    kind = "wordpiece"
    own = 16  # [CLS] 3 soft slots, the film : the story : it was, and 1 soft slot well [SEP]
    limit = own + answer + spare
    example = {"a": "good " * a, "b": "bad " * b}
    (prompt,) = compiled(TWO_FIELDS, kind, limit).encode([example], answer_length=answer)
    tokens = spelt(kind, prompt.left)
    kept_a, kept_b = tokens.count("good"), tokens.count("bad")
    assert sorted((kept_a, kept_b)) == sorted(keep_longest_first((a, b), spare))
    assert prompt.cut == {name: n for name, n in (("a", a - kept_a), ("b", b - kept_b)) if n > 0}
    expected = f"[CLS] -1 -2 -3 the film : {'good ' * kept_a}the story : {'bad ' * kept_b}it was"
    assert [str(token) for token in tokens] == expected.split()
    assert [str(t) for t in spelt(kind, prompt.right)] == ["and", "-4", "well", "[SEP]"]
    assert len(prompt) + answer == min(limit, own + answer + a + b)


def test_fields_lose_their_end(kind):
    bound = compiled("<soft> <text> It was <mask>", kind, 12)
    (prompt,) = bound.encode(["good bad " + "the film " * 20])
    whole = compiled("<soft> <text> It was <mask>", kind).encode(["good bad " + "the film " * 20])[0]
    assert prompt.left[:5] == whole.left[:5]
    assert prompt.right == whole.right
    assert prompt.left[-1] == whole.left[-1]
    assert prompt.cut == {"text": len(whole) - len(prompt)}


def test_a_field_named_twice_gives_in_both_places():
    (prompt,) = compiled("<text> the film <text> it was <mask>", "wordpiece", 14).encode(["good " * 10])
    tokens = spelt("wordpiece", prompt.left)
    assert sorted((tokens.index("the") - 1, tokens.index("it") - tokens.index("film") - 1)) == [3, 4]
    assert prompt.cut == {"text": 13}


def test_nothing_is_cut_that_just_fits(kind):
    source = "<soft*2> <a> the <b> It was <mask>."
    example = {"a": "good film", "b": "bad story"}
    (whole,) = compiled(source, kind).encode([example], answer_length=2)
    assert compiled(source, kind, len(whole) + 2).encode([example], answer_length=2) == [whole]
    (cut,) = compiled(source, kind, len(whole) + 1).encode([example], answer_length=2)
    assert sum(cut.cut.values()) >= 1
    assert len(cut) == len(whole) - sum(cut.cut.values())


characters = st.text(alphabet="é好😀e\u0301𝄞 a", max_size=25)


@pytest.mark.parametrize("kind", ["roberta", "gpt2", "gemma", "llama"])
@settings(deadline=None, max_examples=100)
@given(text=st.one_of(characters, st.text(max_size=20)), spare=st.integers(0, 30))
def test_no_character_is_split(kind, text, spare):
    source = "|<text>|It was <mask>"
    (bare,) = compiled(source, kind).encode([""])
    (prompt,) = compiled(source, kind, len(bare) + 1 + spare).encode([text])
    tokenizer = models.borrowed(kind)
    front = tokenizer.convert_tokens_to_ids(["<bos>", "<s>"]) if kind != "gpt2" else []
    read = tokenizer.backend_tokenizer.decode([i for i in prompt.left if i not in front], skip_special_tokens=False)
    written = re.sub("▁", " ", text) if kind in ("gemma", "llama") else text
    assert read.count("\ufffd") <= written.count("\ufffd")
    assert read.rstrip().endswith("|It was")
    assert len(prompt) + 1 <= len(bare) + 1 + max(spare, 0)


def test_a_template_that_does_not_fit_says_by_how_much(kind):
    source = "<soft*9> Review: <text> It was <mask> (good)."
    for answer in (1, 3):
        with pytest.raises(EncodingError, match="the template alone is") as caught:
            compiled(source, kind, 8).encode(["good film"], answer_length=answer)
        missing = int(re.search(r"is (\d+) tokens too long", str(caught.value))[1])
        assert f"take {8 + missing} where 8 fit" in str(caught.value)
        (prompt,) = compiled(source, kind, 8 + missing).encode(["good film"], answer_length=answer)
        assert len(prompt) + answer == 8 + missing
        with pytest.raises(EncodingError, match="the template alone is 1 tokens too long"):
            compiled(source, kind, 7 + missing).encode(["good film"], answer_length=answer)


@pytest.mark.parametrize("text", ["good ", "good  ", "good \n", " ", "good " * 30, " " * 30, "\n" * 30])
@pytest.mark.parametrize("source", ["It was <mask> <text>", "<mask><text>", "<text> <mask>", "<text><soft><mask>"])
def test_white_space_at_the_end_of_a_field_can_be_cut(source, text, kind):
    bound = compiled(source, kind, 10)
    (prompt,) = bound.encode([text])
    assert len(prompt) < 10
    assert sum(piece.kept for piece in bound.inspect(text)) == len(prompt) + 1
