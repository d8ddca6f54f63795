"""Findings about an answer and its stop string, without a tokenizer and with one."""

import pytest
from support import chat_templates, models
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as models_of_tokens
from transformers import PreTrainedTokenizerFast

from softcloze.encoding import PromptTokenizer
from softcloze.lint import lint
from softcloze.lint.tokens import check_tokens
from softcloze.template import Template


def codes(findings):
    return [(f.code, f.severity, f.source[f.start : f.end]) for f in findings]


QUIET = [
    "<text>\nA: <answer max=64>\n###",
    "<soft*20>指令：<text>\n回答：<answer max=64 >",
    "<demos*2><text>\nA: <answer max=64 keep=tail>\n###",
    "<chat:user><text><chat:assistant><answer max=64>",
    "<demos><chat:user><text><chat:assistant><answer max=64>",
    "<answer max=64> says <text>",
]
NOISY = [
    ("<text> <answer>", ("no-max", "note", "<answer>")),
    ("<text> <answer max=9 keep=tail>", ("no-effect", "note", "<answer max=9 keep=tail>")),
    ("<demos*2><text> <answer max=9>", ("no-stop", "warning", "<answer max=9>")),
    ("<text> <answer max=9>\n", ("blank-stop", "note", "\n")),
    ("<text> <answer max=9> ", ("blank-stop", "warning", " ")),
    ("### Q\n<text>\n### A\n<answer max=9>\n###", ("stop-in-text", "warning", "### Q\n")),
    ("<text>{% if text %}<answer max=9>{% endif %}", ("mask-in-condition", "warning", "<answer max=9>")),
    ("<text> <answer max=9> <demos>", ("demos-after-mask", "warning", "<demos>")),
]


@pytest.mark.parametrize("template", QUIET)
def test_nothing_to_say(template):
    assert lint(template) == []


@pytest.mark.parametrize(("template", "expected"), NOISY)
def test_answers_and_stop_strings(template, expected):
    assert codes(lint(template))[:1] == [expected]


def test_label_words_are_for_a_mask():
    (finding,) = lint("<text>\nA: <answer max=9>", {"a": "good", "b": "bad"})
    assert codes([finding]) == [("answer", "error", "<answer max=9>")]
    assert "PromptGenerator" in finding.message


def tokens(template, kind="gpt2", max_length=10**6):
    family = {"masked": kind in (*models.MASKED_TOKENIZERS, "t5"), "decoder": kind == "t5"}
    return codes(check_tokens(Template(template), PromptTokenizer(models.borrowed(kind), **family), max_length))


def test_a_model_that_cannot_write_the_answer():
    assert tokens("<text> <answer>", "wordpiece") == [("answer", "error", "<answer>")]
    assert tokens("<answer> <text>") == [("answer", "error", "<text>")]
    assert tokens("<answer> <text>", "t5") == []


def test_stop_strings_that_the_tokenizer_cannot_write():
    assert tokens("<text> <answer>\n###", "gpt2") == []
    assert tokens("<text> <answer>\n###", "t5") == [("answer", "error", "\n###")]  # it makes line ends spaces
    assert tokens("<text> <answer>###", "t5") == []


def test_stop_strings_that_the_tokenizer_joins():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(
        models_of_tokens.BPE({token: i for i, token in enumerate([*letters, ".#", "[END]"])}, [(".", "#")])
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="[END]")
    joining = PromptTokenizer(tokenizer, masked=False)
    assert tokenizer.tokenize("good.##") == ["g", "o", "o", "d", ".#", "#"]
    (finding,) = check_tokens(Template("<text> <answer>##"), joining)
    assert codes([finding]) == [("joined-stop", "note", "##")]
    assert "'good.##'" in finding.message
    assert check_tokens(Template("<text> <answer>\n##"), joining) == []


def test_a_stop_string_in_a_turn():
    tokenizer = PromptTokenizer(chat_templates.borrowed("gpt2", "chatml"), masked=False)
    template = Template("<chat:user><text><chat:assistant><answer>\n%%")
    assert codes(check_tokens(template, tokenizer)) == [("stop-in-turn", "note", "\n%%")]


def test_positions_of_the_answer():
    assert codes_at("<text> <answer max=60>", 64) == [("few-positions", "warning")]
    assert codes_at("<text> <answer max=65>", 64) == [("too-long", "error")]
    assert codes_at("<text> <answer max=64>", 64, "t5") == []


def codes_at(template, max_length, kind="gpt2"):
    return [(code, severity) for code, severity, _ in tokens(template, kind, max_length)]
