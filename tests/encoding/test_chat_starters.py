"""Chat turns with the tokenizers of the starters, against transformers."""

from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import chat_templates, models
from support.properties import cases

from softcloze.backbone import load_tokenizer
from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.errors import TokenizerError
from softcloze.library import list_templates, load_template
from softcloze.template import Field, Literal, Mask, Options, Template, Turn

pytestmark = pytest.mark.slow

STARTERS = ("smollm2-135m", "gemma3-270m")
OPTIONS = ("good", "bad")
texts = st.one_of(
    st.sampled_from(models.SENTENCES),
    st.text(max_size=30),
    st.text(alphabet=" aé好😀\n\t.<|▁Ġ5", max_size=15),
)


@cache
def tokenizer(starter):
    made = load_tokenizer(f"starter:{starter}")[0]
    if starter == "gemma3-270m":  # the base model, whose file has no chat template: that of the tuned ones
        assert made.chat_template is None
        made.chat_template = chat_templates.GEMMA
    return made


@cache
def prompt_tokenizer(starter):
    return PromptTokenizer(tokenizer(starter), masked=False)


def rendered(starter, template, example):
    """The ids of transformers for the conversation of a template."""
    messages = []
    for node, following in zip(template.nodes, [*template.nodes[1:], None], strict=True):
        match node:
            case Turn(role):
                messages.append({"role": role, "content": ""})
            case Literal(text):
                messages[-1]["content"] += text.rstrip() if following == Mask() else text
            case Field(name):
                messages[-1]["content"] += example[name]
            case Options(sep):
                messages[-1]["content"] += sep.join(OPTIONS)
    return tokenizer(starter).apply_chat_template(
        messages, continue_final_message=True, tokenize=True, return_dict=False
    )


@pytest.mark.parametrize("starter", STARTERS)
@cases(2)
@given(text=texts, system=st.booleans(), begun=st.sampled_from(["The sentiment is ", "总之，很", "It is\n"]))
def test_prompts_are_what_transformers_renders(starter, text, system, begun):
    assume(not any(token in text for token in tokenizer(starter).all_special_tokens))
    turns = "<chat:system>You sort reviews." * system
    template = Template(f"{turns}<chat:user>Review: <text>!\n\nIs it good?<chat:assistant>{begun}<mask>")
    (prompt,) = CompiledTemplate(template, prompt_tokenizer(starter), 10**6).encode([text])
    assert list(prompt.left) == rendered(starter, template, {"text": text})


@pytest.mark.parametrize("starter", STARTERS)
def test_chat_templates_of_the_library_are_what_transformers_renders(starter):
    cards = [card for card in map(load_template, list_templates()) if card.template.turns and not card.template.blocks]
    assert len(cards) >= 24
    for card in cards:
        example = {name: f"Some {name}, 一些." for name in card.fields}
        compiled = CompiledTemplate(card.template, prompt_tokenizer(starter), 10**6, options=OPTIONS)
        expected = rendered(starter, card.template, example)
        if card.template.nodes[-2] == Turn("assistant") and starter == "gemma3-270m":
            expected += tokenizer(starter)("\n", add_special_tokens=False)["input_ids"]  # which transformers strips
        assert list(compiled.encode([example])[0].left) == expected, card.name


@pytest.mark.parametrize("starter", STARTERS)
def test_control_tokens_stay_characters(starter):
    bound = CompiledTemplate(Template("<chat:user>a <text> b<chat:assistant><mask>"), prompt_tokenizer(starter), 10**6)
    made = tokenizer(starter)
    special = set(made.all_special_ids) | {id for id, token in made.added_tokens_decoder.items() if token.special}
    (calm,) = bound.encode(["film"])
    for token in [made.decode([i]) for i in sorted(special)[:40]]:
        (prompt,) = bound.encode([f"x{token}y"])
        assert [i for i in prompt.left if i in special] == [i for i in calm.left if i in special], token


def test_the_base_model_of_the_starters_has_no_chat_template():
    base = PromptTokenizer(load_tokenizer("starter:gemma3-270m")[0], masked=False)
    with pytest.raises(TokenizerError, match="has no chat template"):
        CompiledTemplate(Template("<chat:user><text><chat:assistant><mask>"), base, 10**6)
