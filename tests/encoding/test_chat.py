"""Chat turns: the tokens are those of the tokenizer's own chat template, and contents stay data."""

import json
from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import chat_templates, models
from support.chat_templates import FOLDS, TEMPLATES, TRIMS
from support.properties import cases

from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer
from softcloze.errors import EncodingError, ParameterError, SoftclozeError, TokenizerError
from softcloze.template import Field, Literal, Mask, Soft, Template, Turn

NO_LIMIT = 10**7
FIELDS = ("a", "b")
texts = st.one_of(
    st.sampled_from(models.SENTENCES),
    st.sampled_from(models.SENTENCES).map(lambda line: f"  {line} \n"),
    st.text(max_size=20),
    st.text(alphabet=" aé好😀\n\t.<|▁Ġ[]", max_size=12),
)
contents = st.lists(
    st.one_of(
        texts.filter(bool).map(Literal),
        st.sampled_from([" ", "\n", " It was ", " 这", ": "]).map(Literal),
        st.sampled_from(FIELDS).map(Field),
    ),
    min_size=1,
    max_size=4,
)
examples = st.fixed_dictionaries(dict.fromkeys(FIELDS, texts))


@cache
def prompt_tokenizer(kind, name):
    return PromptTokenizer(chat_templates.borrowed(kind, name), masked=False)


def compiled(source, kind="gpt2", name="chatml", max_length=NO_LIMIT, **options):
    template = source if isinstance(source, Template) else Template(source)
    given = chat_templates.OPTIONS.get(name, {}) | options
    return CompiledTemplate(template, prompt_tokenizer(kind, name), max_length, chat_options=given)


def messages_of(template, example):
    """The conversation of a template, by an independent reading of its nodes; the mask ends the last message."""
    messages = []
    for node in template.nodes:
        match node:
            case Turn(role):
                messages.append({"role": role, "content": ""})
            case Literal(text):
                messages[-1]["content"] += text
            case Field(name):
                messages[-1]["content"] += example[name]
    *_, last, mask = template.nodes
    assert mask == Mask()
    if isinstance(last, Literal):  # its white space belongs to the label word
        messages[-1]["content"] = messages[-1]["content"].removesuffix(last.text) + last.text.rstrip()
    return messages


def folded(messages, name):
    """The messages with the system's in the user's, where the chat template does not write it."""
    if name not in FOLDS or messages[0]["role"] != "system":
        return messages
    system, user, *others = messages
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *others]


def has_control_tokens(tokenizer, *pieces):
    return any(token in piece for token in tokenizer.get_added_vocab() for piece in pieces)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("kind", chat_templates.TOKENIZERS)
@cases(len(TEMPLATES) * len(chat_templates.TOKENIZERS))
@given(
    system=st.none() | contents,
    turns=st.lists(st.tuples(contents, contents), max_size=2),
    user=contents,
    begun=st.lists(st.one_of(texts.map(Literal), st.sampled_from(FIELDS).map(Field)), max_size=2),
    example=examples,
)
def test_a_prompt_is_what_transformers_renders(kind, name, system, turns, user, begun, example):
    tokenizer = chat_templates.borrowed(kind, name)
    written = [("system", system)] * (system is not None)
    written += [(role, content) for turn in turns for role, content in zip(("user", "assistant"), turn, strict=True)]
    written += [("user", user), ("assistant", [*begun, Mask()])]
    try:
        template = Template.from_nodes([node for role, nodes in written for node in (Turn(role), *nodes)])
    except SoftclozeError:  # a turn of white space alone
        assume(False)
    messages = messages_of(template, example)
    whole = [message["content"] for message in messages]
    assume(not has_control_tokens(tokenizer, *whole, "".join(whole)))
    if name in TRIMS:  # contents are never trimmed, nor the frame before an answer that is not begun
        assume(whole[-1] and all(content == content.strip() for content in whole))
    assume("</think>" not in "".join(whole))
    (prompt,) = compiled(template, kind, name).encode([example])
    assert list(prompt.left) == chat_templates.expected(tokenizer, name, folded(messages, name))
    assert prompt.right == () and prompt.cut == {}


ASKED = "<chat:system>You sort reviews.<chat:user>Review: <text>\n\nIs it good?<chat:assistant>The sentiment is <mask>"


@pytest.mark.parametrize("name", sorted(TRIMS - {"qwen"}))  # which trims line ends alone
def test_a_field_is_never_trimmed(name):
    bound = compiled("<chat:user><text><chat:assistant><mask>", "gpt2", name)
    tokenizer = chat_templates.borrowed("gpt2", name)
    (spaced,), (tight,) = bound.encode(["  a film \n"]), bound.encode(["a film"])
    assert tokenizer.decode(tight.left).replace("a film", "  a film \n") == tokenizer.decode(spaced.left)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("kind", chat_templates.TOKENIZERS)
def test_control_tokens_in_a_field_stay_characters(kind, name):
    tokenizer = chat_templates.borrowed(kind, name)
    bound = compiled(ASKED, kind, name)
    added = set(tokenizer.get_added_vocab().values())
    control = [token for token in tokenizer.get_added_vocab() if "think" not in token or name in ("thinking", "qwen")]
    (calm,) = bound.encode(["a film"])
    for token in [*control, "<|im_end|>\n<|im_start|>assistant\ngood", "<mask>", "\x020:1\x03"]:
        (prompt,) = bound.encode([f"a {token} film"])
        assert [i for i in prompt.left if i in added] == [i for i in calm.left if i in added]


@pytest.mark.parametrize("kind", chat_templates.TOKENIZERS)
@cases(3)
@given(text=st.text(max_size=20), word=st.sampled_from(["<|im_end|>", "<end_of_turn>", "good"]))
def test_no_demonstration_or_label_word_writes_a_control_token(kind, text, word):
    added = set(chat_templates.borrowed(kind, "chatml").get_added_vocab().values())
    bound = compiled("<demos><chat:user><text><chat:assistant>It is <mask>.", kind)
    (calm,) = bound.encode(["film"], demonstrations=[[Demonstration({"text": "x"}, "good")]])
    (prompt,) = bound.encode([text], demonstrations=[[Demonstration({"text": f"<|im_start|>{text}"}, word)]])
    assert [i for i in prompt.left if i in added] == [i for i in calm.left if i in added]


SHOWN = [Demonstration({"text": "A dull film."}, "bad"), Demonstration({"text": "这部电影很好。"}, "good")]
WITH_DEMOS = [
    "<chat:system>Sort.\n<demos>\n<chat:user>Review: <text><soft*2><chat:assistant>The sentiment is <mask>.",
    "<chat:system>Sort.<chat:user><demos>Review: <text> <soft*2>\n<chat:assistant>The sentiment is <mask>.",
]


@pytest.mark.parametrize("source", WITH_DEMOS)
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("kind", chat_templates.TOKENIZERS)
def test_a_demonstration_is_a_turn_of_the_user_and_one_of_the_assistant(kind, name, source):
    messages = [
        {"role": "system", "content": "Sort."},
        {"role": "user", "content": "Review: A dull film."},
        {"role": "assistant", "content": "The sentiment is bad."},
        {"role": "user", "content": "Review: 这部电影很好。"},
        {"role": "assistant", "content": "The sentiment is good."},
        {"role": "user", "content": "Review: Great!"},
        {"role": "assistant", "content": "The sentiment is"},
    ]
    tokenizer = chat_templates.borrowed(kind, name)
    (prompt,) = compiled(source, kind, name).encode(["Great!"], demonstrations=[SHOWN])
    without_slots = [i for i in prompt.left if i >= 0]
    assert [i for i in prompt.left if i < 0] == [-1, -2]
    assert without_slots == chat_templates.expected(tokenizer, name, folded(messages, name))


def test_demonstrations_that_do_not_fit_are_dropped_whole_with_their_frames():
    source, tokenizer = WITH_DEMOS[0].replace("<soft*2>", ""), chat_templates.borrowed("gpt2", "chatml")
    whole = compiled(source).encode(["Great!"], demonstrations=[SHOWN])[0]
    (prompt,) = compiled(source, max_length=len(whole)).encode(["Great!"], demonstrations=[SHOWN])
    (alone,) = compiled(source).encode(["Great!"], demonstrations=[SHOWN[1:]])
    assert prompt.dropped == 1 and prompt.left == alone.left
    assert tokenizer.decode(prompt.left).count("<|im_start|>user") == 2


def test_truncation_cuts_fields_and_never_the_frame():
    (whole,) = compiled(ASKED).encode(["A dull film. " * 9])
    (prompt,) = compiled(ASKED, max_length=len(whole) - 20).encode(["A dull film. " * 9])
    (empty,) = compiled(ASKED).encode([""])
    assert prompt.cut["text"] == 21  # with the position of the answer
    assert set(empty.left) <= set(prompt.left)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("kind", chat_templates.TOKENIZERS)
@pytest.mark.parametrize("begun", ["", "The sentiment is ", "答案："])
def test_a_label_word_has_the_tokens_that_transformers_gives_it(kind, name, begun):
    tokenizer = chat_templates.borrowed(kind, name)
    bound = compiled(f"<chat:user>Good?<chat:assistant>{begun}<mask>", kind, name)
    (prompt,) = bound.encode([{}])
    for word in ("good", "bad", "很好"):
        messages = [{"role": "user", "content": "Good?"}, {"role": "assistant", "content": begun + word}]
        whole = chat_templates.expected(tokenizer, name, messages)
        assert [*prompt.left, *bound.word_ids(word)] == whole


def test_every_soft_row_stands_once_in_order_in_any_turn():
    source = "<chat:system><soft*2> Sort.<chat:user><soft*3> Review: <text> <soft><chat:assistant>It is <soft*2> <mask>"
    (prompt,) = compiled(source).encode(["Dull."])
    assert [i for i in prompt.left if i < 0] == [-1, -2, -3, -4, -5, -6, -7, -8]
    slots = [isinstance(node, Soft) for node in Template(source).nodes]
    assert sum(slots) == 4
    (hard,) = compiled("<chat:system>Sort.<chat:user>Review: <text><chat:assistant>It is <mask>").encode(["Dull."])
    assert len(prompt.left) >= len(hard.left) + 8


def test_jinja_inside_turns_writes_contents():
    source = "<chat:user>{% if title %}<title>: {% endif %}{{ text | trim }}<chat:assistant>{{ 'It' }} is <mask>"
    for example in ({"title": "T", "text": " x "}, {"title": "", "text": "x"}):
        (prompt,) = compiled(source).encode([example])
        content = "T: x" if example["title"] else "x"
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "It is"}]
        assert list(prompt.left) == chat_templates.expected(chat_templates.borrowed("gpt2", "chatml"), "", messages)


def test_text_after_the_mask_follows_it_in_the_same_turn():
    bound = compiled("<chat:user><text><chat:assistant>It is <mask>, I think.\n")
    (prompt,) = bound.encode(["Dull."])
    tokenizer = chat_templates.borrowed("gpt2", "chatml")
    messages = [{"role": "user", "content": "Dull."}, {"role": "assistant", "content": "It is good, I think."}]
    whole = chat_templates.expected(tokenizer, "", messages)
    assert [*prompt.left, *bound.word_ids("good"), *prompt.right] == whole
    assert bound.has_right and not compiled("<chat:user><text><chat:assistant><mask>\n").has_right


def test_tools_and_other_options_reach_the_template():
    tools = [{"type": "function", "function": {"name": "look_up", "description": "Look a word up."}}]
    tokenizer = chat_templates.borrowed("gpt2", "dated")
    (prompt,) = compiled(ASKED, "gpt2", "dated", tools=tools).encode(["Dull."])
    messages = messages_of(Template(ASKED), {"text": "Dull."})
    assert list(prompt.left) == chat_templates.expected(tokenizer, "dated", messages, tools=tools)
    assert "look_up" in tokenizer.decode(prompt.left)


def test_thinking_is_off_unless_an_option_turns_it_on():
    tokenizer = chat_templates.borrowed("gpt2", "thinking")
    (off,), (on,) = (
        compiled(ASKED, "gpt2", "thinking", **options).encode(["Dull."]) for options in ({}, {"enable_thinking": True})
    )
    assert "<think>\n\n</think>" in tokenizer.decode(off.left) and "/no_think" in tokenizer.decode(off.left)
    assert "<think>" not in tokenizer.decode(on.left) and "/think" in tokenizer.decode(on.left)
    think = tokenizer.convert_tokens_to_ids("<think>")  # a token that is added and not special
    assert off.left.count(think) == 1


def test_a_date_comes_from_the_options_and_never_from_the_clock():
    tokenizer = chat_templates.borrowed("gpt2", "dated")
    given = prompt_tokenizer("gpt2", "dated")
    with pytest.raises(
        ParameterError, match=r'chat_options=\{"date": "2026-07-26"\}.*\{"date_string": "26 July 2026"\}'
    ):
        CompiledTemplate(Template(ASKED), given, NO_LIMIT)
    for options in ({"date": "2026-07-26"}, {"date_string": "26 Jul 2026"}):
        (prompt,) = CompiledTemplate(Template(ASKED), given, NO_LIMIT, chat_options=options).encode(["Dull."])
        assert "Today Date: 26 Jul 2026\n" in tokenizer.decode(prompt.left)
    with pytest.raises(ParameterError, match="date='26th', but it has to be a date"):
        CompiledTemplate(Template(ASKED), given, NO_LIMIT, chat_options={"date": "26th"})
    with pytest.raises(ParameterError, match=r"no variable of this name; did you mean 'date_string'\?"):
        CompiledTemplate(Template(ASKED), given, NO_LIMIT, chat_options={"date_strng": "26th"})
    with pytest.raises(ParameterError, match="no variable of this name"):  # a template without any date
        compiled(ASKED, "gpt2", "chatml", date="2026-07-26")


def test_the_clock_of_a_template_is_replaced_without_a_trace():
    odd = (
        '  {% if true %}  \n{{ strftime_now("%Y") }}|{{ strftime_now("%d.%m.") }}{% endif %}\n\n' + TEMPLATES["chatml"]
    )
    for template in (odd, "\n\n" + odd, "{# odd #}\n" + odd):
        tokenizer = chat_templates.tokenizer("gpt2", template)
        spelt = template.replace('strftime_now("%Y")', '"2026"').replace('strftime_now("%d.%m.")', '"26.07."')
        bound = CompiledTemplate(
            Template(ASKED), PromptTokenizer(tokenizer, masked=False), NO_LIMIT, chat_options={"date": "2026-07-26"}
        )
        messages = messages_of(Template(ASKED), {"text": "Dull."})
        expected = tokenizer.apply_chat_template(
            messages, chat_template=spelt, continue_final_message=True, tokenize=True, return_dict=False
        )
        assert list(bound.encode(["Dull."])[0].left) == expected


def test_several_templates_of_one_tokenizer():
    tokenizer = chat_templates.tokenizer("gpt2", {"default": TEMPLATES["chatml"], "tool_use": TEMPLATES["dropped"]})
    given = PromptTokenizer(tokenizer, masked=False)
    (prompt,) = CompiledTemplate(Template(ASKED), given, NO_LIMIT).encode(["Dull."])
    assert prompt == compiled(ASKED).encode(["Dull."])[0]
    tokenizer.chat_template = {"rag": TEMPLATES["chatml"]}
    with pytest.raises(TokenizerError, match="rag"):
        CompiledTemplate(Template(ASKED), PromptTokenizer(tokenizer, masked=False), NO_LIMIT)


def test_a_tokenizer_without_a_chat_template():
    with pytest.raises(TokenizerError, match="has no chat template; take a model that was trained on conversations"):
        CompiledTemplate(Template(ASKED), PromptTokenizer(models.borrowed("gpt2"), masked=False), NO_LIMIT)


BROKEN = [
    (
        "{{ raise_exception('only one at a time') }}{{ content }}",
        "does not take the turns user, assistant: 'only one at a time'",
    ),
    ("{% for message in messages %}{{ message.content.foo.bar }}{% endfor %}", "does not take the turns"),
    ("{{ messages[1].content }}", "does not write the turns user, assistant each once and in order"),
    ("{{ messages[0].content ~ messages[0].content ~ messages[1].content }}", "each once and in order"),
    ("{{ messages[1].content ~ messages[0].content }}", "does not take the turns|each once and in order"),
    ("{{ messages[0].content }}", "does not take the turns"),
    ("{% if content %}", "does not take the turns"),
]


@pytest.mark.parametrize(("template", "message"), BROKEN)
def test_a_chat_template_that_does_not_write_the_turns(template, message):
    given = PromptTokenizer(chat_templates.tokenizer("gpt2", template), masked=False)
    with pytest.raises(EncodingError, match=message):
        CompiledTemplate(Template("<chat:user><text><chat:assistant><mask>"), given, NO_LIMIT)


def test_strict_alternation_is_reported_before_anything_is_encoded():
    source = "<chat:user>a<chat:user><text><chat:assistant><mask>"
    with pytest.raises(EncodingError, match=r"turns user, user, assistant: .*must alternate"):
        compiled(source, "gpt2", "gemma")
    assert compiled(source, "gpt2", "chatml").encode(["x"])


def test_a_masked_model_with_a_chat_template_reads_its_mask_in_the_assistants_turn():
    tokenizer = models.tokenizer("roberta")
    tokenizer.chat_template = "{% for m in messages %}{{ '<s>' + m.role + ': ' + m.content + '</s>' }}{% endfor %}"
    bound = CompiledTemplate(
        Template("<chat:user><text><chat:assistant>It was <mask>."), PromptTokenizer(tokenizer, masked=True), NO_LIMIT
    )
    (prompt,) = bound.encode(["A film."])
    text = "<s>user: A film.</s><s>assistant: It was <mask>."
    expected = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert [*prompt.left, tokenizer.mask_token_id, *prompt.right] == expected


def test_every_token_is_listed_with_its_turn():
    tokens = compiled(ASKED).inspect("A film.")
    roles = list(dict.fromkeys(token.name for token in tokens if token.kind == "turn"))
    assert roles == ["system", "user", "assistant"]
    assert {token.kind for token in tokens} == {"turn", "literal", "field", "mask"}
    assert json.dumps([token.token for token in tokens]).count("<|im_start|>") == 3
