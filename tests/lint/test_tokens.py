"""Findings with a tokenizer: the faults of encoding and scoring, earlier and with a position."""

import pytest
from support.models import MASKED_TOKENIZERS, TOKENIZERS, borrowed, tokenizer

from softcloze.encoding import NO_LIMIT, CompiledTemplate, PromptTokenizer
from softcloze.errors import EncodingError, TokenizerError, VerbalizerError
from softcloze.lint import Finding, lint
from softcloze.lint.tokens import check_tokens
from softcloze.template import Template
from softcloze.verbalizer import RuleVerbalizer, Verbalizer


def findings_of(template, tokenizer, masked=None, max_length=None, labels=None):
    """Findings for a tokenizer, or for a kind of tokenizer."""
    tokenizer = borrowed(tokenizer) if isinstance(tokenizer, str) else tokenizer
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=tokenizer.mask_token is not None if masked is None else masked)
    limit = min(tokenizer.model_max_length, NO_LIMIT) if max_length is None else max_length
    return check_tokens(Template(template), prompt_tokenizer, limit, labels)


def codes(template, kind, **options):
    return [(f.code, f.severity, f.source[f.start : f.end]) for f in findings_of(template, kind, **options)]


def test_nothing_to_say(kind):
    assert codes("Review: <text>\nSentiment: <mask>", kind) == []
    assert codes("<text> 总之，很<mask>", kind, labels={"a": "好", "b": "差"}) == []


def test_lint_includes_them(kind):
    template = Template("<text max=60> {x} <mask>")
    found = lint(template, {"a": "good", "b": "bad 好"}, tokenizer=borrowed(kind))
    assert [finding.code for finding in found][:2] == ["no-effect", "forgotten-tag"]
    assert set(found[2:]) == {*findings_of(str(template), kind, labels={"a": "good", "b": "bad 好"})} - {*found[:2]}


CAUSAL = [
    ("<text> <mask>", []),
    ("<text> <mask>.", [("after-mask", "note", ".")]),
    ("<mask> 是<text><!-- x -->评价", [("after-mask", "note", " 是<text><!-- x -->评价")]),
    ("<text><mask> \n<soft>", [("after-mask", "warning", " \n"), ("idle-soft", "warning", "<soft>")]),
    ("<text><mask><soft*3>", [("idle-soft", "warning", "<soft*3>")]),
    (
        "<soft><text><mask><soft>!<soft*2><soft*3>",
        [
            ("after-mask", "note", "!"),
            ("idle-soft", "warning", "<soft*2>"),
            ("idle-soft", "warning", "<soft*3>"),
        ],
    ),
]


@pytest.mark.parametrize(("template", "expected"), CAUSAL)
def test_nodes_after_the_mask(template, expected, kind):
    assert codes(template, kind) == ([] if kind in MASKED_TOKENIZERS or kind == "gemma" else expected)
    assert codes(template, kind, masked=False) == expected


@pytest.mark.parametrize("special", ["bos", "eos", "sep", "cls"])
def test_special_tokens_that_the_tokenizer_lacks(kind, special):
    found = findings_of(f"<text>。<{special}>好<mask>", kind)
    if getattr(borrowed(kind), f"{special}_token") is not None:
        assert found == []
        return
    (finding,) = found
    assert (finding.code, finding.severity, finding.start, finding.end) == ("no-special-token", "error", 7, 12)
    with pytest.raises(TokenizerError) as caught:
        CompiledTemplate(Template(f"<text>。<{special}>好<mask>"), PromptTokenizer(borrowed(kind), masked=False), 64)
    assert finding.message == str(caught.value)


ADDED = [
    ("wordpiece", "<cls><text><mask><sep>", ["<cls>", "<sep>"]),
    ("roberta", "<bos><text><mask><eos>", ["<bos>", "<eos>"]),
    ("roberta", "<text><bos><sep><mask>", []),
    ("xlmr", "<cls><text><mask>", ["<cls>"]),
    ("albert", "<text><mask><sep>", ["<sep>"]),
    ("gpt2", "<bos><text><mask>", []),  # which adds none
    ("gemma", "<bos><text><mask>", ["<bos>"]),
    ("llama", "<bos><text><mask>", ["<bos>"]),
]


@pytest.mark.parametrize(("kind", "template", "expected"), ADDED)
def test_special_tokens_that_the_tokenizer_adds(kind, template, expected):
    assert codes(template, kind) == [("added-anyway", "note", tag) for tag in expected]


def test_special_tokens_that_are_fields():
    made = tokenizer("gemma")
    made.add_special_tokens({"additional_special_tokens": ["<start_of_image>"]})
    (finding,) = findings_of("<start_of_image><text><mask>", made)
    assert finding.message == "<start_of_image> is a field here, not the tokenizer's special token of that name"
    assert findings_of("<s><text><mask>", "roberta") == []  # said without a tokenizer


def test_init_without_tokens():
    (finding,) = findings_of('<text><soft*2><soft init="\u200b"><mask>', "wordpiece")
    assert (finding.code, finding.severity, finding.start) == ("no-tokens", "error", 14)


def test_label_words(kind):
    labels = {"积极": ["good", "good bad"], "消极": "bad"}
    finding, other = findings_of("<text> It was <mask>", kind, labels=labels)
    assert (other.code, other.severity) == ("uneven-tokens", "note")
    prompt_tokenizer = PromptTokenizer(borrowed(kind), masked=borrowed(kind).mask_token is not None)
    ids = CompiledTemplate(Template("<text> It was <mask>"), prompt_tokenizer, 64).word_ids("good bad")
    spelt = " ".join(map(prompt_tokenizer.token, ids))
    message = f"'good bad' has {len(ids)} tokens: {spelt}"
    advice = "words of one token are scored fastest"
    table = "积极: good, good bad\n消极: bad"
    assert finding == Finding("several-tokens", "note", message, advice, table, 10, 18)


def test_unknown_label_words(kind):
    template, labels = Template("<text><mask>"), {"a": "好", "b": "龘"}
    prompt_tokenizer = PromptTokenizer(borrowed(kind), masked=borrowed(kind).mask_token is not None)
    try:
        CompiledTemplate(template, prompt_tokenizer, 64).word_ids("龘")
    except EncodingError as error:
        assert [f.message for f in findings_of(str(template), kind, labels=labels)] == [str(error)]
        assert codes("<text><mask>", kind, labels=labels) == [("word-tokens", "error", "龘")]
    else:
        found = codes("<text><mask>", kind, labels=labels)
        assert ("several-tokens", "note", "龘") in found and {severity for _, severity, _ in found} == {"note"}


def test_masks_of_a_fixed_number(kind):
    found = codes("<text> It was <mask*2>", kind, labels={"a": "good good", "b": "bad"})
    assert found == [("word-tokens", "error", "bad")]


UNEVEN = [
    ({"积极": "good", "消极": "bad"}, None),
    ({"积极": "good good", "消极": "bad good"}, None),
    ({"积极": ["good", "good good"], "消极": "bad"}, "1 or 2 for label '积极', 1 for label '消极'"),
    ({"积极": "good bad good", "消极": "bad"}, "3 for label '积极', 1 for label '消极'"),
    (Verbalizer({"积极": "good bad good", "消极": "bad"}), "1 for label '消极', 3 for label '积极'"),
    (Verbalizer({"积极": "good bad good", "消极": "bad"}, length_norm="token"), None),
]


@pytest.mark.parametrize(("labels", "counts"), UNEVEN)
def test_words_of_different_length(labels, counts):
    found = [f for f in findings_of("<text> It was <mask>", "wordpiece", labels=labels) if f.code == "uneven-tokens"]
    assert [f.message for f in found] == [f"the words have different numbers of tokens: {counts}"] * bool(counts)
    assert all(f.severity == "note" for f in found)


def test_words_that_become_the_same():
    labels = {"a": ["good", "Good"], "b": ["bad"]}
    assert codes("<text> <mask>", "wordpiece", labels=labels) == [("same-tokens", "error", "Good")]
    assert codes("<text> <mask>", "gpt2", labels={"a": "good", "b": "good"}) == []  # said without a tokenizer


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("template", ["<text> It was <mask>", "<text> It was <mask>.", "<text>很<mask>"])
def test_words_that_begin_with_others(kind, template):
    labels = {"a": ["bad", "好"], "b": ["good", "bad good"]}
    errors = {f[0] for f in codes(template, kind, labels=labels) if f[1] == "error"}
    masked = borrowed(kind).mask_token is not None
    compiled = CompiledTemplate(Template(template), PromptTokenizer(borrowed(kind), masked=masked), 64)
    try:
        words = Verbalizer(labels)
        words.validate_tokens(
            [compiled.word_ids(word) for word in words.all_words], autoregressive=not masked and not compiled.has_right
        )
    except VerbalizerError:
        assert errors == {"word-in-word"}
    else:
        assert errors == set()


def test_words_that_begin_with_others_are_fine_where_length_does_not_count():
    words = {"a": "good", "b": "good bad"}
    assert "word-in-word" in [f[0] for f in codes("<text> <mask>", "gpt2", labels=Verbalizer(words))]
    assert "word-in-word" not in [
        f[0] for f in codes("<text> <mask>", "gpt2", labels=Verbalizer(words, length_norm="byte"))
    ]


def test_length(kind):
    fixed = "very " * 80
    ((code, severity, place),) = codes(f"{fixed}<text><mask>", kind)
    assert (code, severity, place) == ("too-long", "error", f"{fixed}<text><mask>")
    (finding,) = findings_of(f"{fixed}<text><mask>", kind)
    assert "the template alone is " in finding.message and " where 64 fit" in finding.message
    assert codes(f"{fixed}<text><mask>", kind, max_length=1000) == []


def test_few_positions(kind):
    (finding,) = findings_of("<soft*50> <text> <mask>", kind)
    assert (finding.code, finding.severity) == ("few-positions", "warning")
    assert finding.message.startswith("the template alone takes 5") and "of 64 positions" in finding.message
    assert codes("<soft*40> <text> <mask>", kind) == []
    assert codes("<soft*50> {% for x in items %}{{ x }}{% endfor %}<mask>", kind)[0][0] == "few-positions"
    assert codes("<soft*50> {{ items[0] }}<mask>", kind) == []  # nobody knows what comes out


def test_options_take_positions(kind):
    labels = {"a": "good " * 40, "b": "bad"}
    assert "too-long" in [code for code, _, _ in codes("<options><text><mask>", kind, labels=labels)]
    assert codes("<options><text><mask>", kind) == []


def test_max_that_is_never_reached(kind):
    assert codes("<text max=64><mask>", kind) == [("no-effect", "note", "<text max=64>")]
    assert codes("<text max=40><mask>", kind) == []
    assert codes("<text max=400><mask>", kind, max_length=1000) == []


def test_a_tokenizer_without_a_limit():
    made = tokenizer("gpt2")
    made.model_max_length = 10**30
    assert findings_of("<soft*10000><text max=5000><mask>", made) == []


RULES = RuleVerbalizer({"a": {"x": "good", "y": "bad 好"}, "b": {"x": "good", "y": "bad"}})


def test_rules(kind):
    template = "<text> It was <mask name=x>, <mask name=y>"
    found = codes(template, kind, labels=RULES)
    causal = borrowed(kind).mask_token is None
    assert ("several-tokens", "note", "bad 好") in found
    assert ("same-tokens" in [code for code, _, _ in found]) == causal  # "bad 好" begins with "bad"
    assert ("after-mask" in [code for code, _, _ in found]) == causal
    assert "same-tokens" not in [code for code, _, _ in codes(f"{template}.", kind, labels=RULES)]


def test_rules_that_become_the_same():
    rules = RuleVerbalizer({"a": {"x": "good"}, "b": {"x": "Good"}})
    assert [code for code, _, _ in codes("<text> <mask name=x>", "wordpiece", labels=rules)] == ["same-tokens"]


def test_words_for_other_masks_are_not_encoded(kind):
    assert not [code for code, _, _ in codes("<text> a <mask name=z>", kind, labels=RULES) if "token" in code]
