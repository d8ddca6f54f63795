"""A template with Jinja encodes as the equivalent template without."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import models

from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer
from softcloze.errors import FieldError, TemplateLogicError
from softcloze.template import Template

NO_LIMIT = 10**7


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


@cache
def compiled(source, kind, max_length=NO_LIMIT, options=("good", "很差")):
    return CompiledTemplate(Template(source), prompt_tokenizer(kind), max_length, options=options)


texts = st.one_of(
    st.sampled_from(models.SENTENCES),
    st.text(max_size=15),
    st.sampled_from(["<mask>", "{{ text }}", "{% if a %}", "[SEP]", "</s>", "<soft*9>", "\ud800", "}}", "", " "]),
)
SAME = [
    ("{{ text }} It was <mask>", "<text> It was <mask>"),
    ("{{ text | trim }} It was <mask>", "<text> It was <mask>"),
    ("<soft*2>{{ title }}: <text><soft*2> was <mask>.", "<soft*2><title>: <text><soft*2> was <mask>."),
    ("{% if yes %}<title>: {% endif %}<text> It was <mask>", "<title>: <text> It was <mask>"),
    ("{% if not yes %}<title>: {% endif %}<text> It was <mask>", "<text> It was <mask>"),
    ("<text> It was{% if yes %} really{% endif %} <mask>.", "<text> It was really <mask>."),
    ("<text> It {% if yes %}was {% endif %}<mask>.", "<text> It was <mask>."),
    ("<text> {% if yes %}<soft*3>{% endif %}<mask>", "<text> <soft*3><mask>"),
    ("<options>: {% if yes %}<text>{% endif %} <mask> <options>", "<options>: <text> <mask> <options>"),
]


@pytest.mark.parametrize(("source", "same"), SAME)
@pytest.mark.parametrize("kind", models.TOKENIZERS)
@settings(deadline=None, max_examples=25)
@given(text=texts, title=texts)
def test_the_output_is_encoded_like_any_template(kind, source, same, text, title):
    example = {"text": text.strip() if "trim" in source else text, "title": title, "yes": True}
    (prompt,) = compiled(source, kind).encode([example | {"text": text}])
    (plain,) = compiled(same, kind).encode([example])
    assert (prompt.left, prompt.right, prompt.token_type_ids) == (plain.left, plain.right, plain.token_type_ids)
    assert compiled(source, kind).word_ids("good") == compiled(same, kind).word_ids("good")


def test_a_loop(kind):
    source = "{% for line in lines %}- {{ line }}\n{% endfor %}It was <mask>"
    (prompt,) = compiled(source, kind).encode([{"lines": ["good", "<mask> [SEP]", "差"]}])
    same = "- <a>\n- <b>\n- <c>\nIt was <mask>"
    (plain,) = compiled(same, kind).encode([{"a": "good", "b": "<mask> [SEP]", "c": "差"}])
    assert prompt == plain


def test_each_iteration_of_a_loop_is_truncated_by_itself():
    source = "{% for line in lines %}- {{ line }} {% endfor %}<mask>"
    bound = compiled(source, "wordpiece", 14)
    (prompt,) = bound.encode([{"lines": ["good " * 2, "film " * 9, "bad " * 7]}])
    spelt = models.borrowed("wordpiece").convert_ids_to_tokens(prompt.left)
    assert " ".join(spelt) == "[CLS] - good good - film film film - bad bad bad"
    assert prompt.cut == {"lines": 10}


def test_white_space_that_this_example_does_not_have():
    """The label word takes the white space of the source, whatever the output."""
    source = "<text>{% if zh %} 很{% else %} It was {% endif %}<mask>"
    bound = compiled(source, "gpt2")
    chinese, english = bound.encode([{"text": "a", "zh": True}, {"text": "a", "zh": False}])
    tokenizer = models.borrowed("gpt2")
    assert list(chinese.left) == tokenizer("a 很")["input_ids"]
    assert list(english.left) == tokenizer("a It was")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(bound.word_ids("good")) == ["Ġgood"]


@pytest.mark.parametrize("kind", ["wordpiece", "gpt2"])
def test_demonstrations_go_through_the_logic_themselves(kind):
    source = '<demos sep="\\n">{% if title %}<title>: {% endif %}<text> was <mask>'
    shown = [
        Demonstration({"title": "A film", "text": "it"}, "good"),
        Demonstration({"title": "", "text": "the story"}, "bad"),
    ]
    (prompt,) = compiled(source, kind).encode([{"title": "Music", "text": "it"}], demonstrations=[shown])
    same = "A film: it was good\nthe story was bad\nMusic: it was <mask>"
    assert [prompt] == compiled(same, kind).encode([{}])


def test_demos_missing_from_the_output():
    bound = compiled("{% if shots %}<demos>{% endif %}<text> was <mask>", "wordpiece", 12)
    shown = [Demonstration({"text": "a long film " * 2, "shots": True}, "good")]
    with_, without = bound.encode(
        [{"text": "it", "shots": True}, {"text": "it", "shots": False}], demonstrations=[shown] * 2
    )
    assert (with_.dropped, without.dropped) == (1, 0)
    assert with_.left == without.left


def test_errors_name_the_row():
    bound = compiled("{% if yes %}<mask>{% endif %} {{ text }}", "wordpiece")
    good = {"yes": True, "text": "a"}
    with pytest.raises(TemplateLogicError, match=r"^row 1: <mask> at line 1, column 13 is missing from the output"):
        bound.encode([good, {"yes": False, "text": "a"}])
    with pytest.raises(FieldError, match=r"^row 2: .*text"):
        bound.encode([good, good, {"yes": True}])
