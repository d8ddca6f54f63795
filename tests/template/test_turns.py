"""Chat turns: valid templates and their nodes, mistakes with exact message and span, and parse(print(t)) == t."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.properties import cases

from softcloze.errors import TemplateSyntaxError
from softcloze.template import (
    Answer,
    Demos,
    Expression,
    Field,
    Literal,
    Mask,
    Options,
    Soft,
    Special,
    Statement,
    Template,
    Turn,
    domain_template,
    with_demos,
    with_slots,
    without_slots,
)

SYSTEM, USER, ASSISTANT = Turn("system"), Turn("user"), Turn("assistant")
TEXT, MASK = Field("text"), Mask()

GOOD = [
    ("<chat:user><text><chat:assistant><mask>", [USER, TEXT, ASSISTANT, MASK]),
    ("<chat:user ><text><chat:assistant\n><mask>", [USER, TEXT, ASSISTANT, MASK]),
    (
        "\n<chat:user>\n  Review: <text>\n\n  Good?\n<chat:assistant> It is <mask>\n",
        [USER, Literal("Review: "), TEXT, Literal("\n\n  Good?"), ASSISTANT, Literal("It is "), MASK],
    ),
    (
        "<!-- a --><chat:user> <!-- b --> <text> <soft*2> <chat:assistant><soft> <mask>, <!-- c -->\n",
        [USER, TEXT, Literal(" "), Soft(2), ASSISTANT, Soft(), Literal(" "), MASK, Literal(",")],
    ),
    (
        "<chat:system>Sort. \n<demos*2>\n<chat:user> <text><chat:assistant><mask>",
        [SYSTEM, Literal("Sort."), Demos(2), USER, TEXT, ASSISTANT, MASK],
    ),
    ("<demos><chat:user><text><chat:assistant><mask>", [Demos(), USER, TEXT, ASSISTANT, MASK]),
    ("<chat:user>\n<demos> <text><chat:assistant><mask>", [Demos(), USER, TEXT, ASSISTANT, MASK]),
    (
        "<chat:user>a<chat:assistant>b<chat:user><text><chat:assistant><mask name=x><mask name=y>",
        [USER, Literal("a"), ASSISTANT, Literal("b"), USER, TEXT, ASSISTANT, Mask(name="x"), Mask(name="y")],
    ),
    (
        "{% set a = text | trim %}\n<chat:user>{% if a %}{{ a }}{% endif %} \n<chat:assistant>{{ 'It' }} <mask>",
        [
            Statement("set a = text | trim"),
            USER,
            Statement("if a"),
            Expression("a"),
            Statement("endif"),
            ASSISTANT,
            Expression("'It'"),
            Literal(" "),
            MASK,
        ],
    ),
    (r"<chat:user>\<chat:system> <chat><text><chat:assistant><mask>",
     [USER, Literal("<chat:system> "), Field("chat"), TEXT, ASSISTANT, MASK]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "nodes"), GOOD)
def test_good_templates(source, nodes):
    template = Template(source)
    assert template.nodes == tuple(nodes)
    assert template.turns == tuple(node for node in nodes if isinstance(node, Turn))
    assert Template(str(template)) == template == Template.from_nodes(nodes)
    for node, (start, end) in zip(template.nodes, template.spans, strict=True):
        assert 0 <= start <= end <= len(source)
        if isinstance(node, Literal) and "\\" not in source and "<!--" not in source:
            assert source[start:end] == node.text


def test_a_template_without_turns_keeps_all_its_white_space():
    assert Template("\n <demos>\n <text> <mask>\n").nodes == (
        Literal("\n "),
        Demos(),
        Literal("\n "),
        TEXT,
        Literal(" "),
        MASK,
        Literal("\n"),
    )
    assert Template("<text> <mask>").turns == ()


# the place of each mistake is between ‸ and ‸
BAD = [
    ("‸<chat:usr‸><text>", "expected system, user or assistant after 'chat:', found 'usr'; did you mean <chat:user>?"),
    (
        "‸<chat:‸><text>",
        "expected system, user or assistant after 'chat:', found '' (a literal '<' is written \\<chat:)",
    ),
    ("<chat:user ‸max‸=3><text>", "<chat:user> takes no attributes, found 'max'"),
    ("<‸chat:user*3‸><text>", "<chat:user> takes no count"),
    (
        "‸Hello.‸ <chat:user><text><chat:assistant><mask>",
        "this is before the first chat turn: put it after <chat:user>",
    ),
    (
        "‸<soft*10>‸<chat:system>a<chat:user><text><chat:assistant><mask>",
        "this is before the first chat turn: put it after <chat:system>",
    ),
    (
        "‸<chat:user>‸\n <!-- b --><chat:assistant><mask>",
        "this turn is empty: write something after <chat:user>, or leave it out",
    ),
    (
        "<chat:user><text>‸<chat:assistant>‸{% set a = 1 %}<chat:user>b<chat:assistant><mask>",
        "this turn is empty: write something after <chat:assistant>, or leave it out",
    ),
    (
        "<chat:system>a<chat:user><text>‸<chat:system>‸b<chat:assistant><mask>",
        "a template has only one <chat:system>, and this is the second: the first is at line 1, column 1",
    ),
    ("<chat:user><text>‸<chat:system>‸b<chat:assistant><mask>", "<chat:system> comes first, before <chat:user>"),
    (
        "<chat:user>It is ‸<mask>‸",
        "a mask stands in the last turn, which is the assistant's; this turn is the user's: write <chat:assistant> "
        "before it",
    ),
    (
        "<chat:user><text> ‸<mask>‸<chat:assistant>b",
        "a mask stands in the last turn, which is the assistant's; this turn is the user's, and others follow",
    ),
    (
        "<chat:user><text><chat:assistant>‸<mask>‸<chat:user>b",
        "a mask stands in the last turn, which is the assistant's; this turn is the assistant's, and others follow",
    ),
    (
        "{% if text %}‸<chat:user>‸<text>{% endif %}<chat:assistant><mask>",
        "<chat:user> is inside {% if … %} or {% for … %}: every example has the same turns; move it out and vary what "
        "a turn says",
    ),
    (
        "<chat:user>{% for a in text %}a‸<chat:assistant>‸{% endfor %}<mask>",
        "<chat:assistant> is inside {% if … %} or {% for … %}: every example has the same turns; move it out and vary "
        "what a turn says",
    ),
    (
        "<chat:user>Some: ‸<demos>‸ <text><chat:assistant><mask>",
        "demonstrations are turns of the user and the assistant, so <demos> stands directly before <chat:user>, or "
        "directly after it",
    ),
    (
        "<chat:user><text>‸<demos>‸<chat:assistant><mask>",
        "demonstrations are turns of the user and the assistant, so <demos> stands directly before <chat:user>, or "
        "directly after it",
    ),
    (
        "‸<demos sep=x>‸<chat:user><text><chat:assistant><mask>",
        "the tokenizer's chat template separates demonstrations in chat turns: leave out sep",
    ),
    ("<chat:user><text><chat:assistant>good‸‸", "the template has no <mask>, expected exactly one"),
]


@pytest.mark.parametrize(("marked", "message"), BAD)
def test_mistakes(marked, message):
    before, fault, after = marked.split("‸")
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(before + fault + after)
    error = caught.value
    assert error.problem == message
    assert error.source[error.start : error.end] == fault and error.start == len(before)


texts = st.text(st.sampled_from("ab \n\\<{:好."), max_size=6)
content = st.lists(
    st.one_of(
        texts.map(Literal),
        st.sampled_from(["text", "chat"]).map(Field),
        st.builds(Soft, st.integers(1, 9)),
        st.just(Options()),
        st.just(Special("bos")),
        st.just(Expression("text | trim")),
    ),
    min_size=1,
    max_size=4,
)


ends = st.just(MASK) | st.builds(Answer, st.none() | st.integers(1, 99))


@st.composite
def chats(draw):
    """Nodes of a template with chat turns, and white space around its tags that is dropped."""
    white = st.text(st.sampled_from(" \n\t\u3000"), max_size=3)
    end = draw(ends)

    def said(drawn):
        return [node for node in drawn if end == MASK or not isinstance(node, Options)]

    turns = [(SYSTEM, said(draw(content)))] * draw(st.booleans())
    for _ in range(draw(st.integers(0, 2))):
        turns += [(USER, said(draw(content))), (ASSISTANT, said(draw(content)))]
    asked, begun = (USER, said(draw(content))), (ASSISTANT, [*said(draw(content)), end, Literal(draw(texts))])
    demos = draw(st.none() | st.builds(Demos, st.none() | st.integers(1, 9)))
    groups = [*turns, *([demos] if demos is not None else []), asked, begun]
    pieces = [[group] if isinstance(group, Demos) else [group[0], *group[1]] for group in groups]
    return pieces, [draw(white) for _ in range(len(pieces) + 1)]


@cases()
@given(chats())
def test_printing_and_parsing_return_the_same_tree_without_layout(drawn):
    pieces, white = drawn
    nodes = [node for piece in pieces for node in piece]
    try:
        template = Template.from_nodes(nodes)
    except TemplateSyntaxError as error:  # a turn of white space alone
        assert "this turn is empty" in error.problem
        assume(False)
    assert Template(str(template)) == template == Template.from_nodes(template.nodes)
    laid_out = [Literal(white[0])]
    for piece, after in zip(pieces, white[1:], strict=True):
        laid_out += [piece[0], Literal(after), *piece[1:], Literal(after)]
    assert Template.from_nodes(laid_out) == template
    kinds = [node for node in template.nodes if not isinstance(node, Literal)]
    assert kinds == [node for node in nodes if not isinstance(node, Literal)]
    for before, node, after in zip((USER, *template.nodes), template.nodes, (*template.nodes[1:], USER), strict=False):
        if isinstance(node, Literal):
            assert node.text
            assert not isinstance(before, Turn | Demos) or node.text == node.text.lstrip()
            assert not isinstance(after, Turn | Demos) or node.text == node.text.rstrip()


TAGS = ["<chat:user>", "<chat:system>", "<chat:assistant>", "<chat:", "<mask>", "<text>", "<demos>", "<soft>", " ", "a"]
OTHERS = [
    "{% if text %}",
    "{% endif %}",
    "{% set a = 1 %}",
    "{{ text }}",
    "<!--",
    "-->",
    "\\",
    "<mask name=a>",
    "<answer>",
    "\n",
]
pieces = st.lists(st.sampled_from([*TAGS, *OTHERS]), max_size=12).map("".join)


@cases()
@given(pieces, st.booleans())
def test_any_text_parses_or_raises_our_error(source, ends_well):
    source += "<chat:assistant>It is <mask>" * ends_well
    try:
        template = Template(source)
    except TemplateSyntaxError as error:
        assert 0 <= error.start <= error.end <= len(source)
        assert str(error)
    else:
        assert Template(str(template)) == template == Template.from_nodes(template.nodes)
        assert not template.turns or template.turns[-1] == ASSISTANT


ASKED = "<chat:system>Sort.<chat:user>Review: <text><chat:assistant>It is <mask>."


def test_templates_derived_from_others():
    template = Template(ASKED)
    slots = with_slots(template, front=5, after=3)
    assert str(slots) == ASKED.replace("Review: <text>", "<soft*5> Review: <text> <soft*3>")
    assert without_slots(slots) == template
    assert str(with_demos(template, 4)) == ASKED.replace("<chat:user>", "<demos*4><chat:user>")
    assert str(domain_template(template)) == "It is <mask>."
    assert without_slots(Template(ASKED.replace("Sort.", " <soft*9> "))) == Template(
        ASKED.removeprefix("<chat:system>Sort.")
    )
    assert (
        str(with_slots("<chat:user>Hm?<chat:assistant><mask>", front=2))
        == "<chat:user><soft*2> Hm?<chat:assistant><mask>"
    )
