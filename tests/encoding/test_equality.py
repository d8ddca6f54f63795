"""Invariant 1: a template encodes to the original tokenizer's ids of the rendered string."""

from functools import cache

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import models
from support.properties import cases

from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.template import Field, Literal, Mask, Options, Soft, Special, Template

NO_LIMIT = 10**7
FIELDS = ("a", "b")
# white space that a mask token absorbs; Python counts the four ASCII separators as white space, Unicode does not
UNICODE_WHITE_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and c not in "\x1c\x1d\x1e\x1f")

texts = st.one_of(
    st.sampled_from(models.SENTENCES),
    st.sampled_from(models.SENTENCES).map(lambda line: f"  {line} \n"),
    st.text(max_size=30),
    st.text(alphabet=" aé好😀\n\t.<|▁Ġ", max_size=15),
)
hard_nodes = st.one_of(
    texts.filter(bool).map(Literal),
    st.sampled_from([" ", "\n", " It was ", " 这", ": "]).map(Literal),
    st.sampled_from(FIELDS).map(Field),
)
attributed_fields = st.builds(
    Field,
    st.sampled_from(FIELDS),
    st.none() | st.integers(10**4, 10**5),
    st.sampled_from(["head", "tail", "ends"]),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)
OPTIONS = ("good", "很差")
option_nodes = st.sampled_from([", ", "/", "\n"]).map(Options)
soft_nodes = st.integers(1, 3).map(Soft)
examples = st.fixed_dictionaries(dict.fromkeys(FIELDS, texts))


@cache
def prompt_tokenizer(kind):
    return PromptTokenizer(models.borrowed(kind), masked=kind in models.MASKED_TOKENIZERS)


def render(nodes, example, mask=""):
    values = {Literal: lambda n: n.text, Field: lambda n: example[n.name], Mask: lambda n: mask}
    return "".join(values[type(node)](node) for node in nodes)


def special_nodes(kind):
    """The tags for which this tokenizer has a special token."""
    kinds = [name for name in ("bos", "eos", "sep", "cls") if getattr(models.borrowed(kind), f"{name}_token")]
    return st.sampled_from(kinds).map(Special)


def spelt_out(kind, nodes, example):
    """The rendered string with special tokens by name, without those that the tokenizer adds."""
    tokenizer = models.borrowed(kind)
    nodes = list(nodes)

    def adds(node, name):
        return isinstance(node, Special) and name is not None and getattr(tokenizer, f"{node.kind}_token") == name

    names = tokenizer.convert_ids_to_tokens(tokenizer("")["input_ids"])
    if names and adds(nodes[0], names[0]):
        del nodes[0]
    if len(names) > 1 and nodes and adds(nodes[-1], names[-1]):
        del nodes[-1]
    text = ""
    for node in nodes:
        match node:
            case Special(name):
                written = getattr(tokenizer, f"{name}_token")
            case Options(sep):
                written = sep.join(OPTIONS)
            case Mask():
                written = tokenizer.mask_token
            case _:
                written = render([node], example)
        begins = text.endswith("[SEP]") and kind == "albert" and not isinstance(node, Special | Mask)
        text += (" " if begins and written and written[0] not in " ▁" else "") + written
    return text


def spells_special(kind, *pieces):
    return any(name in piece for name in models.borrowed(kind).all_special_tokens for piece in pieces)


def merged(*parts):
    """Merge neighbouring literals, as templates do."""
    return Template.from_nodes([node for part in parts for node in part]).nodes


@pytest.mark.parametrize("kind", models.MASKED_TOKENIZERS)
@cases(len(models.MASKED_TOKENIZERS))
@given(before=st.lists(hard_nodes, max_size=4), after=st.lists(hard_nodes, max_size=3), example=examples)
def test_masked_template_is_the_rendered_string(kind, before, after, example):
    nodes = merged(before, [Mask()], after)
    assume(not spells_special(kind, render(nodes, example, mask="\0")))
    tokenizer = models.borrowed(kind)
    (prompt,) = CompiledTemplate(Template.from_nodes(nodes), prompt_tokenizer(kind), NO_LIMIT).encode([example])
    expected = tokenizer(render(nodes, example, mask=tokenizer.mask_token))["input_ids"]
    assert [*prompt.left, tokenizer.mask_token_id, *prompt.right] == expected
    assert prompt.cut == {}


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
@cases(len(models.CAUSAL_TOKENIZERS))
@given(before=st.lists(hard_nodes, max_size=4), after=st.lists(hard_nodes, max_size=3), example=examples)
def test_causal_template_is_the_rendered_string_up_to_the_mask(kind, before, after, example):
    nodes = merged(before, [Mask()], after)
    hole = nodes.index(Mask())
    left, right = list(nodes[:hole]), nodes[hole + 1 :]
    if left and isinstance(left[-1], Literal):  # its white space belongs to the label word
        left[-1] = Literal(left[-1].text.rstrip())
    left, right = render(left, example), render(right, example)
    assume(not spells_special(kind, left, right))
    tokenizer = models.borrowed(kind)
    (prompt,) = CompiledTemplate(Template.from_nodes(nodes), prompt_tokenizer(kind), NO_LIMIT).encode([example])
    assert list(prompt.left) == tokenizer(left)["input_ids"]
    if kind != "llama":  # it adds a space before every text, and this text is in the middle
        assert list(prompt.right) == tokenizer(right, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", models.MASKED_TOKENIZERS)
@cases(len(models.MASKED_TOKENIZERS))
@given(data=st.data(), example=examples)
def test_masked_template_of_all_tags_is_the_rendered_string(kind, data, example):
    node = st.one_of(hard_nodes, attributed_fields, option_nodes, special_nodes(kind))
    before, after = data.draw(st.lists(node, max_size=5)), data.draw(st.lists(node, max_size=4))
    assume(not spells_special(kind, *example.values(), *(n.text for n in before + after if isinstance(n, Literal))))
    nodes = merged(before, [Mask()], after)
    template = Template.from_nodes(nodes)
    (prompt,) = CompiledTemplate(template, prompt_tokenizer(kind), NO_LIMIT, options=OPTIONS).encode([example])
    tokenizer = models.borrowed(kind)
    text = spelt_out(kind, nodes, example)
    assume(text.count("<mask>") + text.count("[MASK]") == 1)
    assert [*prompt.left, tokenizer.mask_token_id, *prompt.right] == tokenizer(text)["input_ids"]
    assert prompt.cut == {}


@pytest.mark.parametrize("kind", models.MASKED_TOKENIZERS)
@cases(len(models.MASKED_TOKENIZERS))
@given(runs=st.lists(st.lists(hard_nodes, max_size=3), min_size=3, max_size=4), example=examples)
def test_masked_template_of_several_masks_is_the_rendered_string(kind, runs, example):
    masks = [[Mask(name=name)] for name in "xyz"[: len(runs) - 1]]
    nodes = merged(*(part for pair in zip(runs, [*masks, []], strict=True) for part in pair))
    assume(not spells_special(kind, render(nodes, example, mask="\0")))
    tokenizer = models.borrowed(kind)
    (prompt,) = CompiledTemplate(Template.from_nodes(nodes), prompt_tokenizer(kind), NO_LIMIT).encode([example])
    ids = [i for piece in prompt.chunks for i in (*piece, tokenizer.mask_token_id)][:-1]
    assert ids == tokenizer(render(nodes, example, mask=tokenizer.mask_token))["input_ids"]
    assert len(prompt.chunks) == len(runs)


@pytest.mark.parametrize("kind", ["gpt2", "gemma"])  # llama's adds a space before every text
@cases(2)
@given(runs=st.lists(st.lists(hard_nodes, max_size=3), min_size=3, max_size=4), example=examples)
def test_causal_template_of_several_masks_is_the_rendered_strings(kind, runs, example):
    masks = [[Mask(name=name)] for name in "xyz"[: len(runs) - 1]]
    nodes = merged(*(part for pair in zip(runs, [*masks, []], strict=True) for part in pair))
    texts = [""]
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        if isinstance(node, Mask):
            texts.append("")
            continue
        text = render([node], example)
        texts[-1] += text.rstrip() if isinstance(node, Literal) and isinstance(following, Mask) else text
    assume(not spells_special(kind, *texts))
    tokenizer = models.borrowed(kind)
    (prompt,) = CompiledTemplate(Template.from_nodes(nodes), prompt_tokenizer(kind), NO_LIMIT).encode([example])
    frame = tokenizer("")["input_ids"]
    assert list(prompt.left) == tokenizer(texts[0])["input_ids"]
    for piece, text in zip(prompt.chunks[1:], texts[1:], strict=True):
        assert [*frame, *piece] == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("kind", models.CAUSAL_TOKENIZERS)
@cases(len(models.CAUSAL_TOKENIZERS))
@given(data=st.data(), example=examples)
def test_causal_template_of_all_tags_is_the_rendered_string(kind, data, example):
    node = st.one_of(hard_nodes, attributed_fields, option_nodes, special_nodes(kind))
    left = list(merged(data.draw(st.lists(node, min_size=1, max_size=6)), [Mask()]))[:-1]
    assume(not spells_special(kind, *example.values(), *(n.text for n in left if isinstance(n, Literal))))
    template = Template.from_nodes([*left, Mask()])
    (prompt,) = CompiledTemplate(template, prompt_tokenizer(kind), NO_LIMIT, options=OPTIONS).encode([example])
    if left and isinstance(left[-1], Literal):  # its white space belongs to the label word
        left[-1] = Literal(left[-1].text.rstrip())
    tokenizer = models.borrowed(kind)
    text = spelt_out(kind, left, example) if left else ""
    assert list(prompt.left) == tokenizer(text)["input_ids"]
    assert prompt.right == ()


@cases()
@given(
    nodes=st.lists(st.one_of(hard_nodes, soft_nodes), max_size=8),
    hole=st.integers(0, 8),
    example=examples,
    kind=st.sampled_from(models.TOKENIZERS),
)
def test_every_soft_row_stands_once_in_order_and_the_rest_is_text(nodes, hole, example, kind):
    nodes = merged(nodes[:hole], [Mask()], nodes[hole:])
    assume(not spells_special(kind, render([n for n in nodes if isinstance(n, Literal | Field)], example)))
    assume(not spells_special(kind, *example.values()))
    template = Template.from_nodes(nodes)
    compiled = CompiledTemplate(template, prompt_tokenizer(kind), NO_LIMIT)
    (prompt,) = compiled.encode([example])
    rows = [-1 - i for i in prompt.left + prompt.right if i < 0]
    assert rows == list(range(sum(node.count for node in nodes if isinstance(node, Soft))))
    assert compiled.soft_count == len(rows)
    before_mask = sum(node.count for node in nodes[: nodes.index(Mask())] if isinstance(node, Soft))
    assert sum(i < 0 for i in prompt.left) == before_mask
    assert max((*prompt.left, *prompt.right, 0)) < len(models.borrowed(kind))


@pytest.mark.parametrize("kind", models.LOSSLESS)
@cases(len(models.LOSSLESS))
@given(nodes=st.lists(st.one_of(hard_nodes, soft_nodes), min_size=1, max_size=6), example=examples)
def test_text_between_slots_is_tokenized_as_one_run(kind, nodes, example):
    nodes = merged(nodes, [Mask()])
    (prompt,) = CompiledTemplate(Template.from_nodes(nodes), prompt_tokenizer(kind), NO_LIMIT).encode([example])
    runs, run = [], []
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        if isinstance(node, Literal) and isinstance(following, Soft | Mask):
            # also for a masked model, whose mask token absorbs Unicode white space
            absorbed = UNICODE_WHITE_SPACE if kind == "roberta" and isinstance(following, Mask) else None
            node = Literal(node.text.rstrip(absorbed))
        if isinstance(node, Soft | Mask):
            runs.append(render(run, example))
            run = []
        else:
            run.append(node)
    if kind == "roberta":
        runs[-1] = runs[-1].rstrip(UNICODE_WHITE_SPACE)  # the mask token absorbs the field's white space too
    tokenizer = models.borrowed(kind)
    assume(not spells_special(kind, *runs))
    frame = tokenizer("")["input_ids"]
    front = len(frame) // 2 if kind == "roberta" else len(frame)
    assert list(prompt.left[:front]) == frame[:front]
    found = [[]]
    for i in prompt.left[front:]:
        if i >= 0:
            found[-1].append(i)
        else:
            found.append([])
    slots = [node.count for node in nodes if isinstance(node, Soft)]
    expected = []
    for count, text in zip([*slots, 1], runs, strict=True):
        expected.append(tokenizer(text, add_special_tokens=False)["input_ids"] if text else [])
        expected += [[]] * (count - 1)
    assert found == expected


def test_a_shared_block_repeats_its_rows():
    template = Template("<soft*2 name=task> <a> <soft> <soft*2 name=task> <b> <mask>")
    (prompt,) = CompiledTemplate(template, prompt_tokenizer("gpt2"), NO_LIMIT).encode([{"a": "good", "b": "bad"}])
    assert [i for i in prompt.left if i < 0] == [-1, -2, -3, -1, -2]


def test_a_slot_may_stand_between_the_halves_of_a_word():
    (prompt,) = CompiledTemplate(Template("go<soft>od <mask>"), prompt_tokenizer("gpt2"), 64).encode([{}])
    tokenizer = models.borrowed("gpt2")
    expected = [*tokenizer("go")["input_ids"], -1, *tokenizer("od")["input_ids"]]
    assert list(prompt.left) == expected


def test_examples_are_encoded_one_by_one_and_in_order(kind):
    compiled = CompiledTemplate(Template("<soft*2> <a> and <b>: <mask>."), prompt_tokenizer(kind), NO_LIMIT)
    rows = [{"a": a, "b": b} for a, b in zip(models.SENTENCES, reversed(models.SENTENCES), strict=True)]
    assert compiled.encode(rows) == [compiled.encode([row])[0] for row in rows]
    assert compiled.encode([]) == []
