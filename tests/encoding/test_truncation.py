"""Invariant 4: truncation removes tokens of fields only."""

import contextlib
import re
from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import models
from support.properties import cases

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.encoding.truncation import allocate, ends
from softcloze.errors import EncodingError
from softcloze.template import Demos, Field, Literal, Mask, Options, Soft, Special, Template

TWO_FIELDS = "<soft*3> the film: <a> the story: <b> it was <mask> and <soft> well"
MOST = 10**6


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def compiled(source, kind, max_length=MOST):
    return CompiledTemplate(Template(source), prompt_tokenizer(kind), max_length)


def spelt(kind, ids):
    return [i if i < 0 else models.borrowed(kind).convert_ids_to_tokens(i) for i in ids]


def keep_longest_first(lengths, budget):
    """Remove one token at a time from the currently longest field."""
    lengths = list(lengths)
    while sum(lengths) > budget:
        lengths[lengths.index(max(lengths))] -= 1
    return lengths


@cases()
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5), budget=st.integers(0, 100))
def test_the_longest_field_is_cut_first(lengths, budget):
    kept = allocate(lengths, budget)
    assert sorted(kept) == sorted(keep_longest_first(lengths, budget))
    assert all(k <= length for k, length in zip(kept, lengths, strict=True))
    assert sum(kept) == min(budget, sum(lengths))


weights = st.sampled_from([0.0, 0.001, 0.5, 1.0, 1.0, 1.0, 2.0, 3.0, 1000.0]) | st.integers(0, 5000).map(
    lambda thousandths: thousandths / 1000
)
fields = st.lists(st.tuples(st.integers(0, 30), weights), min_size=1, max_size=6)


def lowest_levels_first(lengths, budget, weights):
    """Give tokens one by one to the field with the lowest next level; among equals, to the longer one."""
    kept = [length if weight == 0 else 0 for length, weight in zip(lengths, weights, strict=True)]
    growing = [i for i, weight in enumerate(weights) if weight]
    while sum(kept) < budget and (open_ := [i for i in growing if kept[i] < lengths[i]]):
        exact = [round(weight * 1000) for weight in weights]
        chosen = min(open_, key=lambda i: ((kept[i] + 1) * exact[i], -lengths[i] * exact[i], -lengths[i], -i))
        kept[chosen] += 1
    return kept


@cases()
@given(fields=fields, spare=st.integers(0, 120))
def test_fields_are_cut_by_their_weights(fields, spare):
    lengths, weights = zip(*fields, strict=True)
    budget = spare + sum(length for length, weight in fields if weight == 0)
    kept = allocate(lengths, budget, weights)
    assert kept == lowest_levels_first(lengths, budget, weights)
    assert sum(kept) == min(budget, sum(lengths))
    assert all(0 <= keeps <= length for keeps, length in zip(kept, lengths, strict=True))
    assert all(keeps == length for keeps, (length, weight) in zip(kept, fields, strict=True) if weight == 0)
    more = allocate(lengths, budget + 1, weights)
    assert all(keeps <= then for keeps, then in zip(kept, more, strict=True))


@cases()
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    budget=st.integers(0, 100),
    weight=st.sampled_from([0.001, 0.7, 2.0, 1000.0]),
)
def test_equal_weights_are_no_weights(lengths, budget, weight):
    assert allocate(lengths, budget, [weight] * len(lengths)) == allocate(lengths, budget)


def test_weights_in_use():
    assert allocate([100, 100], 60, [1, 2]) == [40, 20]
    assert allocate([100, 10], 60, [1, 2]) == [50, 10]  # the short field is below the level
    assert allocate([100, 100, 7], 37, [1, 1, 0]) == [15, 15, 7]
    assert allocate([5, 5], 20, [3, 0]) == [5, 5]


spans_of_characters = st.lists(st.integers(1, 4), max_size=6).map(
    lambda sizes: [(at, at + 1) for at, size in enumerate(sizes) for _ in range(size)]
)


@cases()
@given(spans=spans_of_characters, kept=st.integers(0, 30), keep=st.sampled_from(["head", "tail", "ends"]))
def test_a_character_is_kept_whole_or_not_at_all(spans, kept, keep):
    kept = min(kept, len(spans))
    borders = [i for i in range(len(spans) + 1) if i in (0, len(spans)) or spans[i] != spans[i - 1]]
    head, tail = ends(spans, kept, keep)
    assert head in borders
    assert len(spans) - tail in borders
    if kept == len(spans):
        assert (head, tail) == (kept, 0)
        return
    wanted = {"head": kept, "tail": 0, "ends": (kept + 1) // 2}[keep]
    assert head == max(border for border in borders if border <= wanted)
    left = 0 if keep == "head" else kept - head
    assert tail == max(len(spans) - border for border in borders if len(spans) - border <= left)


@cases()
@given(a=st.integers(0, 25), b=st.integers(0, 25), spare=st.integers(0, 50), answer=st.integers(1, 3))
def test_only_words_of_fields_are_removed(a, b, spare, answer):
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


def test_a_field_named_twice_is_cut_at_both():
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
@cases(4)
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


def test_a_too_long_template_reports_the_excess(kind):
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


limited_fields = st.builds(
    Field,
    st.sampled_from(["a", "b"]),
    st.none() | st.integers(1, 9),
    st.sampled_from(["head", "tail", "ends"]),
    st.sampled_from([0.0, 0.5, 1.0, 1.0, 3.0]),
)
rigid_nodes = st.one_of(
    st.sampled_from([" ", "It was", " 很 ", ":\n"]).map(Literal),
    st.integers(1, 3).map(Soft),
    st.just(Options("/")),
    st.just(Demos(sep="\n")),
)
field_texts = st.one_of(
    st.sampled_from(models.SENTENCES), st.text(alphabet="ab好 é😀", max_size=30), st.text(max_size=30)
)


@pytest.mark.parametrize("kind", models.TOKENIZERS)
@cases(len(models.TOKENIZERS))
@given(
    before=st.lists(limited_fields | rigid_nodes, max_size=5),
    after=st.lists(limited_fields | rigid_nodes, max_size=3),
    special=st.none() | st.sampled_from(["bos", "eos", "sep", "cls"]),
    example=st.fixed_dictionaries({"a": field_texts, "b": field_texts}),
    limit=st.integers(4, 70),
)
def test_nothing_but_field_tokens_is_cut(kind, before, after, special, example, limit):
    """Invariant 4, for every tag."""
    if special is not None and getattr(models.borrowed(kind), f"{special}_token") is not None:
        before = [*before, Special(special)]
    nodes = [*before, Mask(), *after]
    first = next((i for i, node in enumerate(nodes) if isinstance(node, Demos)), None)
    nodes = [node for i, node in enumerate(nodes) if i == first or not isinstance(node, Demos)]
    template = Template.from_nodes(nodes)
    bound, whole = (
        CompiledTemplate(template, prompt_tokenizer(kind), n, options=["good", "差"]) for n in (limit, MOST)
    )
    try:
        (prompt,) = bound.encode([example], answer_length=2)
    except EncodingError as error:
        missing = int(re.search(r"(\d+) tokens too long", str(error))[1])
        enough = CompiledTemplate(template, prompt_tokenizer(kind), limit + missing, options=["good", "差"])
        with contextlib.suppress(EncodingError):  # then a field that must not be cut exceeds the budget
            enough.encode([example], answer_length=2)
        less = CompiledTemplate(template, prompt_tokenizer(kind), limit + missing - 1, options=["good", "差"])
        with pytest.raises(EncodingError, match=r"are 1 tokens too long|is 1 tokens too long"):
            less.encode([example], answer_length=2)
        return
    assert len(prompt) + 2 <= limit
    pieces, all_pieces = bound.inspect(example, answer_length=2), whole.inspect(example, answer_length=2)
    assert [(p.token, p.kind, p.name) for p in pieces] == [(p.token, p.kind, p.name) for p in all_pieces]
    assert all(piece.kept for piece in pieces if piece.kind != "field")
    assert sum(piece.kept for piece in pieces) == len(prompt) + 1
    assert prompt.cut == dict(Counter(piece.name for piece in pieces if not piece.kept))
    assert sum(i < 0 for i in prompt.left + prompt.right) == bound.soft_count


@pytest.mark.parametrize("limit", [11, 14, 30])
def test_several_masks_survive_truncation_of_fields(kind, limit):
    template = Template("<soft*2> <a> <mask name=x> <b keep=tail> <mask name=y>.")
    bound, whole = (CompiledTemplate(template, prompt_tokenizer(kind), room) for room in (limit, MOST))
    example = {"a": "the film is good and the cast is great", "b": "a story as well"}
    (prompt,), (uncut,) = bound.encode([example], answer_length=3), whole.encode([example], answer_length=3)
    assert len(prompt) + 3 <= limit or not prompt.cut
    assert len(prompt) + sum(prompt.cut.values()) == len(uncut)
    assert len(prompt) + 3 == limit or not prompt.cut
    assert len(prompt.chunks) == 3 and prompt.right == uncut.right
    pieces = bound.inspect(example, answer_length=3)
    assert [piece.name for piece in pieces if piece.kind == "mask"] == ["x", "y"]
    assert sum(piece.kept for piece in pieces) == len(prompt) + 2
    # without answer_length, each mask reserves one position
    assert len(bound.encode([example])[0]) == min(len(uncut), limit - 2)


def words(kind, prompt):
    return " ".join(str(token) for token in spelt(kind, prompt.left))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("max=3", "the film is"),
        ("max=3 keep=tail", "good acting too"),
        ("max=4 keep=ends", "the film acting too"),
        ("max=3 keep=ends", "the film too"),
        ("max=1 keep=ends", "the"),
        ("max=99 keep=ends", "the film is a good good acting too"),
    ],
)
def test_max_tokens_of_a_field(attributes, expected):
    text = "the film is a good good acting too"
    (prompt,) = compiled(f"<text {attributes}> <mask>", "wordpiece").encode([text])
    assert words("wordpiece", prompt) == f"[CLS] {expected}"
    gone = 8 - len(expected.split())
    assert prompt.cut == ({"text": gone} if gone else {})


def test_a_field_is_first_cut_to_its_own_max():
    source = "<a max=4 keep=tail> the film <b> <mask>"
    example = {"a": "good " * 9, "b": "bad " * 9}
    (prompt,) = compiled(source, "wordpiece", 13).encode([example])  # including 5 of the template
    assert words("wordpiece", prompt) == "[CLS] good good good good the film bad bad bad bad"
    assert prompt.cut == {"a": 5, "b": 5}


def test_a_field_that_is_never_cut():
    source = "<a shorten=0> the film <b> <mask>"
    (prompt,) = compiled(source, "wordpiece", 13).encode([{"a": "good " * 6, "b": "bad " * 9}])
    assert words("wordpiece", prompt) == "[CLS] good good good good good good the film bad bad"
    assert prompt.cut == {"b": 7}
    (prompt,) = compiled(source, "wordpiece", 11).encode([{"a": "good " * 6, "b": "bad " * 9}])
    assert prompt.cut == {"b": 9}
    with pytest.raises(EncodingError, match=r"fields with shorten=0 are 2 tokens too long: 'a' has 8 where 6 fit"):
        compiled(source, "wordpiece", 11).encode([{"a": "good " * 8, "b": "bad " * 9}])
    rows = [{"a": "good", "b": "bad"}, {"a": "good " * 8, "b": ""}]
    with pytest.raises(EncodingError, match=r"^row 1: fields with shorten=0 are 2 tokens too long"):
        compiled(source, "wordpiece", 11).encode(rows)


def test_a_max_lets_what_is_never_cut_fit():
    (prompt,) = compiled("<a shorten=0 max=6> the film <b> <mask>", "wordpiece", 11).encode(
        [{"a": "good " * 8, "b": "bad " * 9}]
    )
    assert prompt.cut == {"a": 2, "b": 9}


@cases()
@given(
    a=st.integers(0, 25),
    b=st.integers(0, 25),
    spare=st.integers(0, 30),
    most=st.none() | st.integers(1, 12),
    weights=st.tuples(st.sampled_from([0.5, 1, 2]), st.sampled_from([0, 1, 3])),
)
def test_tokens_are_shared_by_weight(a, b, spare, most, weights):
    limit = most if most is not None else 99
    source = f"<a max={limit} shorten={weights[0]}> the film <b keep=tail shorten={weights[1]}> <mask>"
    bound = compiled(source, "wordpiece", 5 + spare)
    example = {"a": "good " * a, "b": "bad " * b}
    if weights[1] == 0 and b > spare:
        with pytest.raises(EncodingError, match=f"are {b - spare} tokens too long: 'b' has {b} where {spare} fit"):
            bound.encode([example])
        return
    (prompt,) = bound.encode([example])
    tokens = spelt("wordpiece", prompt.left)
    wanted = allocate([min(a, limit), b], spare, weights)
    assert [tokens.count("good"), tokens.count("bad")] == wanted
    assert prompt.cut == {
        name: length - keeps for name, length, keeps in zip("ab", (a, b), wanted, strict=True) if keeps < length
    }


@pytest.mark.parametrize("keep", ["tail", "ends"])
@pytest.mark.parametrize("kind", ["roberta", "gpt2", "gemma", "llama"])
@cases(8)
@given(text=st.one_of(characters, st.text(max_size=20)), most=st.integers(1, 30))
def test_no_character_is_split_at_any_end(kind, keep, text, most):
    (prompt,) = compiled(f"|<text max={most} keep={keep}>|It was <mask>", kind).encode([text])
    tokenizer = models.borrowed(kind)
    front = tokenizer.convert_tokens_to_ids(["<bos>", "<s>"]) if kind != "gpt2" else []
    read = tokenizer.backend_tokenizer.decode([i for i in prompt.left if i not in front], skip_special_tokens=False)
    written = re.sub("▁", " ", text) if kind in ("gemma", "llama") else text
    assert read.count("\ufffd") <= written.count("\ufffd")
    assert read.lstrip().startswith("|")
    assert read.rstrip().endswith("|It was")


@pytest.mark.parametrize("text", ["good ", "good  ", "good \n", " ", "good " * 30, " " * 30, "\n" * 30])
@pytest.mark.parametrize("source", ["It was <mask> <text>", "<mask><text>", "<text> <mask>", "<text><soft><mask>"])
def test_white_space_at_the_end_of_a_field_can_be_cut(source, text, kind):
    bound = compiled(source, kind, 10)
    (prompt,) = bound.encode([text])
    assert len(prompt) < 10
    assert sum(piece.kept for piece in bound.inspect(text)) == len(prompt) + 1
