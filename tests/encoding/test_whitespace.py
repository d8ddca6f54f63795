"""Invariant 2: white space before a slot belongs to the slot."""

import pytest
from support import models
from tokenizers import normalizers, pre_tokenizers

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.template import Template

MARK = {"wordpiece": "", "roberta": "Ġ", "gpt2": "Ġ", "xlmr": "▁", "albert": "▁", "gemma": "▁", "llama": "▁"}


def compiled(source, kind):
    prompt_tokenizer = PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)
    return CompiledTemplate(Template(source), prompt_tokenizer, 64)


def spelt(kind, ids):
    """Tokens as the original tokenizer writes them, soft slots as negative numbers."""
    return [i if i < 0 else models.borrowed(kind).convert_ids_to_tokens(i) for i in ids]


@pytest.mark.parametrize(
    "source",
    [
        "It was <mask>",
        "It was <mask>.",
        "It was  <mask>",
        "<text> <mask>",
        "<text> was <mask> and <text>",
        "<soft*2> <mask>",
        "It was <soft*2> <mask>",
    ],
)
def test_the_label_word_takes_the_space_before_the_mask(source, kind):
    if source == "It was  <mask>":
        word = spelt(kind, compiled(source, kind).word_ids("good"))
        assert word[-1] == MARK[kind] + "good"
    else:
        assert spelt(kind, compiled(source, kind).word_ids("good")) == [MARK[kind] + "good"]


@pytest.mark.parametrize(
    "source", ["It was (<mask>", "<text>: (<mask>)", "<soft>-<mask>", "很<mask>", "<text>，<mask>"]
)
def test_no_space_before_the_mask_gives_a_word_without_space(source, kind):
    word = spelt(kind, compiled(source, kind).word_ids("good"))
    assert "".join(word).replace("##", "") == "good"


@pytest.mark.parametrize("source", ["<text><mask>", "<soft><mask>", "<text><soft*2><mask>。"])
def test_label_words_directly_after_a_field_or_a_soft_slot(source, kind):
    word = spelt(kind, compiled(source, kind).word_ids("good"))
    assert "".join(word).replace("##", "") == "good"


@pytest.mark.parametrize(
    "source",
    ["It was <mask>", "It was \n <mask>", "It was <soft*2> <mask>", "It was <mask> and <soft> was", "was \u3000<mask>"],
)
def test_no_stray_marker_before_a_slot(source, kind):
    (prompt,) = compiled(source, kind).encode([{}])
    left = prompt.left[: prompt.left.index(-1)] if -1 in prompt.left else prompt.left
    assert spelt(kind, left)[-1] in ("was", "Ġwas", "▁was", "as")
    right = spelt(kind, prompt.right)
    if -1 in right:
        assert "".join(right[: right.index(-1)]).strip("▁Ġ") == "and"
        assert right[right.index(-1) - 1] not in ("Ġ", "▁")


def test_soft_slots_in_front_follow_added_special_tokens(kind):
    (prompt,) = compiled("<soft*3> <text> It was <mask>", kind).encode(["good"])
    tokenizer = models.borrowed(kind)
    frame = {"gpt2": [], "gemma": ["<bos>"], "llama": ["<s>"]}
    front = frame.get(kind, [tokenizer.cls_token])
    was = ["it", "was"] if kind == "wordpiece" else None
    tokens = spelt(kind, prompt.left)
    assert tokens[: len(front) + 4] == [*front, -1, -2, -3, MARK[kind] + "good"]
    if was:
        assert tokens[-2:] == was


def test_space_after_a_slot_belongs_to_the_text(kind):
    (spaced,) = compiled("It was <soft> <text> <mask>", kind).encode(["good"])
    assert spelt(kind, spaced.left)[-2:] == [-1, MARK[kind] + "good"]


@pytest.mark.parametrize("kind", [k for k in models.TOKENIZERS if k not in ("xlmr",)])
def test_no_space_after_a_slot_stays_no_space(kind):
    (close,) = compiled("It was <soft><text> <mask>", kind).encode(["good"])
    behind = spelt(kind, close.left)
    assert "".join(behind[behind.index(-1) + 1 :]).replace("##", "") == "good"


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
def test_text_after_the_mask_of_a_causal_model_starts_as_written(kind):
    (close,) = compiled("It was <mask>.", kind).encode([{}])
    assert spelt(kind, close.right) == ["."]
    (spaced,) = compiled("It was <mask> film", kind).encode([{}])
    assert spelt(kind, spaced.right) == [MARK[kind] + "film"]


def prepending(kind):
    """A causal tokenizer that prepends a space to every text between special tokens."""
    tokenizer = models.tokenizer("gpt2" if kind == "byte-level" else "llama")
    backend = tokenizer.backend_tokenizer
    if kind == "byte-level":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    else:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.pre_tokenizer = None
    return tokenizer


@pytest.mark.parametrize("text", ["It was", " It was", "很 好", "<s>"])
@pytest.mark.parametrize("kind", ["byte-level", "normaliser of Llama 2"])
def test_a_space_is_prepended_once(kind, text):
    tokenizer = prepending(kind)
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=False)
    (prompt,) = CompiledTemplate(Template("<text><soft> good<soft> <mask>."), prompt_tokenizer, 64).encode([text])
    ids = [i for i in (*prompt.left, *prompt.right) if i >= 0]
    plain = tokenizer(text + " good.", split_special_tokens=True)["input_ids"]
    assert ids == plain
    assert tokenizer.convert_ids_to_tokens(prompt.right) == ["."]


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
@pytest.mark.parametrize(
    ("source", "word", "text"),
    [
        ("It was <mask>", "good", "It was good"),
        ("It was <mask>", "good, bad", "It was good, bad"),
        ("It was: <mask>", "positive", "It was: positive"),
        ("<text> <mask>", "good", "It was good"),
        ("<text>\n<mask>", "good", "It was\ngood"),
    ],
)
def test_a_filled_causal_template_reads_as_running_text(source, word, text, kind):
    bound = compiled(source, kind)
    (prompt,) = bound.encode(["It was"] if "<text>" in source else [{}])
    assert [*prompt.left, *bound.word_ids(word)] == models.borrowed(kind)(text)["input_ids"]


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
@pytest.mark.parametrize("source", ["总之，很<mask>", "<text><mask>", "<text>，<mask>。"])
def test_a_filled_chinese_template_has_no_additional_space(source, kind):
    bound = compiled(source, kind)
    (prompt,) = bound.encode(["这本书"] if "<text>" in source else [{}])
    row = [*prompt.left, *bound.word_ids("满意"), *prompt.right]
    backend = models.borrowed(kind).backend_tokenizer
    read = backend.decode(row, skip_special_tokens=True).removeprefix(" " if kind == "llama" else "")
    assert read == source.replace("<text>", "这本书").replace("<mask>", "满意")


def test_a_field_keeps_its_white_space():
    for kind in ("gpt2", "gemma"):
        (prompt,) = compiled("<text><mask>", kind).encode(["  good \n "])
        tokenizer = models.borrowed(kind)
        assert list(prompt.left) == tokenizer("  good \n ")["input_ids"]
