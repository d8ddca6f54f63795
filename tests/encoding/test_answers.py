"""Answers as free text: the ids of prompts and answers are those of the plain tokenizer."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import chat_templates, models
from support.properties import cases

from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer
from softcloze.errors import EncodingError, TemplateSyntaxError
from softcloze.template import Template

SEQ2SEQ = {"t5": "t5", "mt5": "mt5", "bart": "roberta"}
ANSWERS = ["very good", "好，很满意。", "", "It was good:\n  really\n", "<b> {x} ###"]


@cache
def prompt_tokenizer(kind, decoder=False):
    return PromptTokenizer(models.borrowed(kind), masked=decoder or kind in models.MASKED_TOKENIZERS, decoder=decoder)


def compiled(source, kind="gpt2", max_length=10_000):
    decoder = kind in SEQ2SEQ
    return CompiledTemplate(Template(source), prompt_tokenizer(SEQ2SEQ.get(kind, kind), decoder), max_length)


def encode(source, text, answer, kind="gpt2", max_length=10_000, **options):
    (prompt,) = compiled(source, kind, max_length).encode([text], answers=[answer], **options)
    return prompt


def spelt(kind, ids):
    return models.borrowed(kind).convert_ids_to_tokens(ids)


def whole(kind, text):
    """The ids of the plain tokenizer, without an end of text."""
    ids = models.borrowed(kind)(text)["input_ids"]
    return ids[:-1] if ids[-1] == models.borrowed(kind).eos_token_id else ids


CAUSAL = [
    ("<text>\nA: <answer>\n%%", "{text}\nA: {answer}\n%%"),
    ("Q: <text> A:<answer>%%", "Q: {text} A:{answer}%%"),
    ("<text>\n回答：\n<answer>\n%%", "{text}\n回答：\n{answer}\n%%"),
]


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
@pytest.mark.parametrize(("source", "written"), CAUSAL)
@pytest.mark.parametrize("answer", ["very good", "好，很满意。", "It was good, really"])
def test_a_prompt_and_its_answer_are_tokenized_in_one_run(kind, source, written, answer):
    for text in ("A good film", "这部电影很好"):
        prompt = encode(source, text, answer, kind)
        assert [*prompt.left, *prompt.answer] == whole(kind, written.format(text=text, answer=answer))
        assert prompt.right == ()


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
@cases(10)
@given(text=st.sampled_from(models.SENTENCES), answer=st.text(max_size=12) | st.sampled_from(models.SENTENCES))
def test_the_ids_before_an_answer_are_those_that_generation_has(kind, text, answer):
    bound = compiled("<text> A: <answer>", kind)
    (prompt,), (alone,) = bound.encode([text], answers=[answer]), bound.encode([text])
    assert prompt.left == alone.left and alone.answer == ()
    *ids, end = prompt.answer
    assert end == models.borrowed(kind).eos_token_id
    if kind in models.LOSSLESS:
        assert prompt_tokenizer(kind).decode(ids) in (f" {answer}", f" {answer}".encode(errors="replace").decode())


def test_where_a_tokenizer_joins_prompt_and_answer_the_prompt_keeps_its_ids():
    joined = whole("gpt2", "It was good")
    prompt = encode("It was go<answer>", {}, "od")
    assert [*prompt.left, *prompt.answer[:-1]] != joined  # "good" is one token
    assert list(prompt.left) == whole("gpt2", "It was go")
    assert models.borrowed("gpt2").decode(prompt.answer[:-1]) == "od"


@pytest.mark.parametrize(("source", "space"), [("A: <answer>", " "), ("A:\n<answer>", ""), ("A:\n  <answer>", "  ")])
def test_white_space_of_the_last_line_belongs_to_the_answer(source, space):
    prompt = encode(source, {}, "good")
    assert compiled(source).answers.space == space
    assert models.borrowed("gpt2").decode(prompt.left) == source.removesuffix(f"{space}<answer>")
    assert models.borrowed("gpt2").decode(prompt.answer[:-1]) == f"{space}good"


@pytest.mark.parametrize("name", ["<|endoftext|>", "<s>", "</s>", "<bos>", "<eos>", "<mask>", "<text>", "{{ text }}"])
@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
def test_an_answer_is_data(kind, name):
    prompt = encode("<text>\nA: <answer>\n%%", "x", name, kind)
    unknown = models.borrowed(kind).unk_token_id
    assert not {*models.borrowed(kind).all_special_ids} - {unknown} & {*prompt.answer}
    assert prompt_tokenizer(kind).decode(prompt.answer).strip().startswith(name)


@pytest.mark.parametrize("answer", ["good film", "好", "", "a film, a book"])
@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_a_decoder_writes_the_answer_from_its_start(kind, answer):
    tokenizer = models.borrowed(SEQ2SEQ[kind])
    prompt = encode("Say: <text> <answer>", "A film", answer, kind)
    form = compiled("<answer>", kind).answers
    assert list(prompt.left) == tokenizer("Say: A film")["input_ids"]
    assert prompt.right == ()
    assert [*form.opening, *prompt.answer] == tokenizer(text_target=answer)["input_ids"]
    stopped = encode("Say: <text> <answer>%%", "A film", "good", kind)
    assert stopped.left == prompt.left
    assert [*form.opening, *stopped.answer, form.end_ids[0]] == tokenizer("good%%")["input_ids"]


@pytest.mark.parametrize("kind", ["t5", "mt5"])
@pytest.mark.parametrize("answer", ["good", "really good", "a film"])
def test_an_answer_in_the_middle_replaces_a_sentinel(kind, answer):
    tokenizer = models.borrowed(kind)
    bound = compiled("It was <answer> in <text>", kind)
    (prompt,) = bound.encode(["a film"], answers=[answer])
    source = [*prompt.left, prompt_tokenizer(kind, True).mask_id, *prompt.right]
    assert source == tokenizer("It was <extra_id_0> in a film")["input_ids"]
    target = tokenizer(f"<extra_id_0> {answer} <extra_id_1>")["input_ids"]
    assert [*bound.answers.opening, *prompt.answer, bound.answers.end_ids[-1]] == target


@pytest.mark.parametrize("name", chat_templates.TEMPLATES)
@pytest.mark.parametrize("kind", chat_templates.TOKENIZERS)
def test_an_answer_in_a_chat_ends_as_the_turn_does(kind, name):
    tokenizer = chat_templates.borrowed(kind, name)
    options = chat_templates.OPTIONS.get(name, {})
    user = "<chat:user><text><chat:assistant>Sure: <answer>"
    bound = CompiledTemplate(Template(user), PromptTokenizer(tokenizer, masked=False), 1000, chat_options=options)
    (prompt,) = bound.encode(["Is it?"], answers=["it was good"])
    messages = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "Sure: it was good"}]
    begun = chat_templates.expected(tokenizer, name, messages)
    end = prompt.answer[-1]
    assert [*prompt.left, *prompt.answer[:-1]] == begun
    assert bound.answers.end_ids[0] == end
    ended = tokenizer.apply_chat_template(messages, tokenize=False, **{"enable_thinking": False, **options})
    assert tokenizer.convert_ids_to_tokens(end) in ended[ended.index("it was good") :]


def test_a_stop_string_in_a_chat_replaces_the_end_of_the_turn():
    tokenizer = chat_templates.borrowed("gpt2", "chatml")
    template = Template("<chat:user><text><chat:assistant><answer>\n%%\n")
    bound = CompiledTemplate(template, PromptTokenizer(tokenizer, masked=False), 1000)
    (prompt,) = bound.encode(["a"], answers=["good"])
    assert bound.answers.stop == "\n%%"
    assert tokenizer.decode(prompt.answer) == "good\n%%"


def test_fields_leave_room_for_the_answer():
    long = "good " * 200
    source = "<text>\nA: <answer max=30>\n%%"
    given = encode(source, long, "It was good", max_length=64)
    (alone,) = compiled(source, max_length=64).encode([long])
    assert given.left == alone.left and len(given.left) == 64 - 30
    (more,) = compiled(source, max_length=64).encode([long], answer_length=40)
    assert len(more.left) == 64 - 40
    unlimited = encode("<text>\nA: <answer>\n%%", long, "It was good", max_length=64)
    assert len(unlimited.left) + len(unlimited.answer) == 64
    assert len(encode("<text> <answer max=30>", long, "good", "t5", 64).left) == 64  # a decoder writes elsewhere


PROBLEMS = [
    ("<text><answer>###", "x###", "the answer 'x###' has the stop string '###', which would end it there"),
    ("<text><answer>###", "x#", "the answer 'x#' ends in the start of the stop string '###', which would end it"),
    ("<text> <answer max=3>", "It was good", "tokens with its end, and <answer max=3> takes 3; raise max, or shorten"),
    ("<text> <answer>", "good " * 90, r"the template alone is \d+ tokens too long"),
]


@pytest.mark.parametrize(("source", "answer", "message"), PROBLEMS)
def test_an_answer_is_never_cut_and_the_row_is_named(source, answer, message):
    bound = compiled(source, max_length=64)
    with pytest.raises(EncodingError, match=f"^row 1: .*{message}"):
        bound.encode(["a", "b"], answers=["", answer])
    with pytest.raises(EncodingError, match=r"^the "):
        bound.encode(["b"], answers=[answer])


def test_characters_that_the_vocabulary_lacks():
    with pytest.raises(EncodingError, match="row 1: the answer 'ж' has characters that are unknown to this model's"):
        compiled("<text> <answer>", "t5").encode(["a", "b"], answers=["good", "ж"])


WRONG = [
    ("wordpiece", "<text> <answer>", (7, 15), "a masked model fills in words and writes no text"),
    ("gpt2", "<answer> <text>", (9, 15), "put it before <answer>; only a stop string, which is text, may follow"),
    ("gpt2", "<text> <answer>\n<soft>", (16, 22), "put it before <answer>"),
    ("gpt2", "<text> <answer><eos>", (15, 20), "leave it out"),
    ("gpt2", "<text> <answer>{{ text }}", (15, 25), "put it before <answer>"),
    ("gpt2", "<text> <answer> <demos>", (16, 23), "put it before <answer>"),
    ("bart", "<answer> says <text>", (0, 8), "this model has no sentinels to fill in"),
]


@pytest.mark.parametrize(("kind", "source", "span", "problem"), WRONG)
def test_a_model_that_cannot_write_the_answer(kind, source, span, problem):
    with pytest.raises(TemplateSyntaxError, match=problem) as caught:
        compiled(source, kind)
    assert (caught.value.start, caught.value.end) == span


def test_answers_are_for_a_template_with_an_answer():
    with pytest.raises(EncodingError, match="answers are for a template with <answer>"):
        compiled("<text> It was <mask>").encode(["a"], answers=["good"])


def test_demonstrations_show_their_answers_and_the_stop_string():
    shown = [Demonstration({"text": "Dull."}, "bad"), Demonstration({"text": "Fun."}, "good")]
    source = "<demos><soft*2> <text>\nA: <answer>\n%%"
    prompt = encode(source, "Fine.", "nice", demonstrations=[shown])
    text = prompt.left
    assert text.count(-1) == text.count(-2) == 1
    written = [i for i in text if i >= 0]
    assert models.borrowed("gpt2").decode(written) == "Dull.\nA: bad\n%%\n\nFun.\nA: good\n%%\n\n Fine.\nA:"
    cut = encode(source, "Fine.", "nice", demonstrations=[shown], max_length=len(text) + len(prompt.answer) - 1)
    assert cut.dropped == 1 and cut.answer == prompt.answer


def test_demonstrations_in_a_chat_are_turns_with_their_answers():
    tokenizer = chat_templates.borrowed("gpt2", "chatml")
    template = Template("<demos><chat:user><text><chat:assistant>So: <answer>")
    bound = CompiledTemplate(template, PromptTokenizer(tokenizer, masked=False), 1000)
    (prompt,) = bound.encode(["b"], answers=["No."], demonstrations=[[Demonstration({"text": "a"}, "Yes.")]])
    said = [("user", "a"), ("assistant", "So: Yes."), ("user", "b"), ("assistant", "So: No.")]
    messages = [{"role": role, "content": content} for role, content in said]
    whole = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    ids = [*prompt.left, *prompt.answer]
    assert ids == whole[: len(ids)] and tokenizer.decode(whole[len(ids) :]) == "\n"


def test_jinja_in_front_of_an_answer():
    logic = compiled("{% if title %}<title>: {% endif %}<text>\nA: <answer>\n%%")
    plain = compiled("<title>: <text>\nA: <answer>\n%%")
    example = {"title": "A film", "text": "It was good"}
    assert logic.encode([example], answers=["yes"]) == plain.encode([example], answers=["yes"])
    (untitled,) = logic.encode([example | {"title": ""}], answers=["yes"])
    assert untitled == encode("<text>\nA: <answer>\n%%", "It was good", "yes")


@pytest.mark.parametrize(("keep", "kept"), [("head", "1%2"), ("tail", "%3%"), ("ends", "1%%")])
def test_a_long_answer_of_a_demonstration_is_shortened(keep, kept):
    shown = [Demonstration({"text": "x"}, "1%2%3%")]
    bound = compiled(f'<demos sep="|"><text>:<answer max=3 keep={keep}>')
    (prompt,) = bound.encode(["y"], demonstrations=[shown])
    assert models.borrowed("gpt2").decode(prompt.left) == f"x:{kept}|y:"


def test_inspect_shows_the_answer_and_what_ends_it():
    pieces = compiled("<text>\nA: <answer>\n%%").inspect("good")
    at = [piece.kind for piece in pieces].index("answer")
    assert [piece.kind for piece in pieces[at:]] == ["answer", *["stop"] * 3]
    (end,) = [piece for piece in compiled("<text>\nA: <answer>").inspect("good") if piece.kind == "stop"]
    assert end.token == models.borrowed("gpt2").eos_token
    pieces = compiled("It was <answer> in <text>", "t5").inspect("good")
    assert [piece.kind for piece in pieces].count("answer") == 1
    assert pieces[-1].kind == "special"
    pieces = compiled("<text> <answer>", "t5").inspect("good")
    assert [piece.kind for piece in pieces][-3:] == ["special", "answer", "stop"]


@cases()
@given(answer=st.text(max_size=10))
def test_any_answer_is_encoded_or_raises_our_error(answer):
    for kind in ("gpt2", "t5"):
        try:
            prompt = encode("<text>: <answer>%%", "good", answer, kind)
        except EncodingError:
            continue
        assert prompt.answer


@pytest.mark.parametrize(("kind", "stop"), [("t5", "\n"), ("t5", "\n##"), ("mt5", "："), ("t5", "😀")])
def test_a_stop_string_that_the_tokenizer_cannot_write_ends_nothing(kind, stop):
    assert compiled(f"<text> <answer>{stop}", "bart").answers.stop == stop
    with pytest.raises(TemplateSyntaxError, match="cannot write the stop string") as error:
        compiled(f"<text> <answer>{stop}", kind)
    assert (error.value.start, error.value.end) == (15, 15 + len(stop))
