"""The tokenizer's special tokens, and the second text of a pair."""

from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import models
from support.properties import cases

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.errors import TokenizerError
from softcloze.template import Template

NO_LIMIT = 10**7
HAS = {
    "wordpiece": ["sep", "cls"],
    "roberta": ["bos", "eos", "sep", "cls"],
    "xlmr": ["bos", "sep", "cls"],
    "albert": ["bos", "sep", "cls"],
    "gpt2": ["bos", "eos"],
    "gemma": ["bos", "eos"],
    "llama": ["bos", "eos"],
}
CASES = [(kind, special) for kind, names in HAS.items() for special in names]


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def compiled(source, kind, max_length=NO_LIMIT):
    return CompiledTemplate(Template(source), prompt_tokenizer(kind), max_length)


def special_id(kind, special):
    return getattr(models.borrowed(kind), f"{special}_token_id")


@pytest.mark.parametrize(("kind", "special"), CASES)
def test_a_special_tag_in_the_middle_is_the_token(kind, special):
    (prompt,) = compiled(f"It was<{special}> <text> <mask>", kind).encode(["good"])
    (plain,) = compiled("It was <text> <mask>", kind).encode(["good"])
    tokenizer = models.borrowed(kind)
    was = tokenizer("It was", add_special_tokens=False)["input_ids"]
    at = plain.left.index(was[-1]) + 1
    assert prompt.left == (*plain.left[:at], special_id(kind, special), *plain.left[at:])


@pytest.mark.parametrize(("kind", "special"), CASES)
def test_a_special_token_in_a_field_is_text(kind, special):
    spelt = getattr(models.borrowed(kind), f"{special}_token")
    (prompt,) = compiled(f"a<{special}>b <text> <mask>", kind).encode([f"x {spelt} y"])
    (harmless,) = compiled(f"a<{special}>b <text> <mask>", kind).encode(["x y"])
    counts = [(p.left + p.right).count(special_id(kind, special)) for p in (prompt, harmless)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kind", models.TOKENIZERS)
@pytest.mark.parametrize("source", ["{front}<text> It was <mask>.", "{front}<mask>: <text>", "{front} <text><mask>"])
def test_what_the_tokenizer_adds_in_front_is_not_doubled(kind, source):
    bound = compiled(source.format(front=""), kind)
    for special in HAS[kind]:
        written = compiled(source.format(front=f"<{special}>"), kind)
        (prompt,), (plain,) = (c.encode(["A good film"]) for c in (written, bound))
        own = models.borrowed(kind)("")["input_ids"][:1] == [special_id(kind, special)]
        if own and kind not in ("gpt2",):
            assert prompt == plain
            assert written.word_ids("good") == bound.word_ids("good")
        else:
            assert (prompt.left + prompt.right).count(special_id(kind, special)) == 1 + (
                plain.left + plain.right
            ).count(special_id(kind, special))


@pytest.mark.parametrize(
    ("kind", "special"), [("wordpiece", "sep"), ("roberta", "eos"), ("roberta", "sep"), ("xlmr", "sep")]
)
def test_what_the_tokenizer_adds_at_the_end_is_not_doubled(kind, special):
    (prompt,) = compiled(f"<text> It was <mask>.<{special}>", kind).encode(["A good film"])
    assert [prompt] == compiled("<text> It was <mask>.", kind).encode(["A good film"])
    (twice,) = compiled(f"<text> It was <mask>.<{special}><{special}>", kind).encode(["A good film"])
    assert twice.right == (*prompt.right, special_id(kind, special))
    (apart,) = compiled(f"<text> It was <mask><{special}>.", kind).encode(["A good film"])
    assert apart.right.count(special_id(kind, special)) == 2


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
def test_an_end_token_after_the_mask_of_a_causal_model(kind):
    bound = compiled("<text> It was <mask><eos>", kind)
    (prompt,) = bound.encode(["A good film"])
    assert prompt.right == (special_id(kind, "eos"),)
    assert bound.has_right


def test_a_tokenizer_that_adds_an_end_itself():
    """A tokenizer that adds an end of sequence, as T5's and some of Llama's: causal models drop the added one only."""
    tokenizer = models.tokenizer("llama")
    backend = tokenizer.backend_tokenizer
    ends = [("<s>", tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)]
    backend.post_processor = models.processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    both = PromptTokenizer(tokenizer, masked=False)
    (plain,) = CompiledTemplate(Template("<text> It was <mask>"), both, 64).encode(["good"])
    (ended,) = CompiledTemplate(Template("<text> It was <mask><eos>"), both, 64).encode(["good"])
    assert (plain.right, ended.right) == ((), (tokenizer.eos_token_id,))


@pytest.mark.parametrize(
    ("kind", "special", "has"), [("wordpiece", "bos", "sep, cls"), ("gpt2", "sep", "bos, eos"), ("xlmr", "eos", "bos,")]
)
def test_a_token_that_the_tokenizer_lacks(kind, special, has):
    message = rf"the tokenizer has no {special} token for <{special}> .* \(it has {has}"
    with pytest.raises(TokenizerError, match=message):
        compiled(f"<text><{special}><mask>", kind)


PAIRS = [
    ("wordpiece", "<a><sep><b>", ["A good film.", "It was good"]),
    ("wordpiece", "<a> <sep> <b>", ["A good film.", "It was good"]),
    ("albert", "<a><sep><b>", ["A good film.", "It was good"]),
    ("albert", "<a><sep> <b>", ["这部电影很好。", "It was good"]),
    ("xlmr", "<a><sep><b>", ["A good film.", "很好"]),
    ("roberta", "<a><sep><sep><b>", ["A good film.", "It was good"]),
]


@pytest.mark.parametrize(("kind", "source", "pair"), PAIRS)
def test_a_pair_has_the_ids_of_the_original_tokenizer(kind, source, pair):
    tokenizer = models.borrowed(kind)
    (prompt,) = compiled(f"{source} <mask>.", kind).encode([dict(zip("ab", pair, strict=True))])
    expected = tokenizer(pair[0], f"{pair[1]} {tokenizer.mask_token}.")
    assert [*prompt.left, tokenizer.mask_token_id, *prompt.right] == expected["input_ids"]
    if "token_type_ids" in expected:
        assert list(prompt.token_type_ids) == expected["token_type_ids"]
    else:
        assert prompt.token_type_ids is None


texts = st.one_of(st.sampled_from(models.SENTENCES), st.text(alphabet="ab好 é😀", max_size=12)).map(str.strip)


@pytest.mark.parametrize("kind", ["wordpiece", "albert"])
@cases(2)
@given(a=texts, b=texts.filter(bool), after=st.booleans())
def test_any_pair(kind, a, b, after):
    tokenizer = models.borrowed(kind)
    assume(not any(name in text for name in tokenizer.all_special_tokens for text in (a, b)))
    mask = tokenizer.mask_token
    source, pair = ("<a><sep><mask>: <b>", (a, f"{mask}: {b}")) if after else ("<a> <mask><sep><b>", (f"{a} {mask}", b))
    (prompt,) = compiled(source, kind).encode([{"a": a, "b": b}])
    expected = tokenizer(*pair)
    if kind == "wordpiece" or not after:  # a mask after <sep> needs no word-initial marker
        assert [*prompt.left, tokenizer.mask_token_id, *prompt.right] == expected["input_ids"]
        assert list(prompt.token_type_ids) == expected["token_type_ids"]


def test_token_types_of_slots_and_cut_fields():
    bound = compiled("<soft*2><a><sep><soft*3><b> <mask> <soft>", "wordpiece", 18)
    (prompt,) = bound.encode([{"a": "good " * 9, "b": "bad " * 9}])
    assert prompt.token_type_ids == (0,) * (1 + 2 + 4) + (0,) + (1,) * (3 + 4 + 1 + 1 + 1)
    assert len(prompt.token_type_ids) == len(prompt) + 1 == 18
    assert [i for i in prompt.left if i < 0] == [-1, -2, -3, -4, -5]


@pytest.mark.parametrize("source", ["<a> <b> <mask>", "<cls><a> <b> <mask><sep>", "<a> <b><cls><mask>"])
def test_one_segment_has_no_token_types(source):
    (prompt,) = compiled(source, "wordpiece").encode([{"a": "good", "b": "bad"}])
    assert prompt.token_type_ids is None


def test_special_tokens_in_inspect():
    pieces = compiled("<cls><a><sep><b> <mask>", "wordpiece", 8).inspect({"a": "good " * 5, "b": "bad"})
    shown = [(piece.token, piece.kind, piece.kept) for piece in pieces]
    assert shown == [
        ("[CLS]", "special", True),
        *[("good", "field", True)] * 3,
        *[("good", "field", False)] * 2,
        ("[SEP]", "special", True),
        ("bad", "field", True),
        ("<mask>", "mask", True),
        ("[SEP]", "special", True),
    ]


FRONTS = {"wordpiece": "cls", "roberta": "bos", "xlmr": "bos", "albert": "cls", "gemma": "bos", "llama": "bos"}


@pytest.mark.parametrize("kind", FRONTS)
@pytest.mark.parametrize("space", ["", " "])
def test_the_front_of_the_tokenizer_after_slots_takes_the_place_of_its_own(kind, space):
    """Slots, then what the tokenizer makes of the text by itself, special tokens at both ends included."""
    tokenizer = models.borrowed(kind)
    mask_id = prompt_tokenizer(kind).mask_id
    bound = compiled(f"<soft*2><{FRONTS[kind]}>{space}<text> It was <mask>", kind)
    texts = ["good film", "好看", " x", "(a) b", "1 2"]
    for text, prompt in zip(texts, bound.encode(texts), strict=True):
        mask = [] if mask_id is None else [mask_id]
        plain = f"{space}{text} It was {tokenizer.mask_token if mask else ''}".rstrip(" ")
        assert [*prompt.left, *mask, *prompt.right] == [-1, -2, *tokenizer(plain)["input_ids"]]
        assert prompt.token_type_ids is None
    assert bound.word_ids("good") == compiled(f"{space}<text> It was <mask>", kind).word_ids("good")
    info = bound.inspect(texts[0])
    assert [token.kind for token in info[:3]] == ["soft", "soft", "special"]
    assert info[-1].kind == ("special" if mask_id is not None else "mask")
