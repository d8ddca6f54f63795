"""Templates as HTML: exact output, with all user text escaped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.html_page import Page

from softcloze.formatting import visible
from softcloze.template import Node, Template
from softcloze.template.describe import NAMES, STYLES, Described, as_html, describe, kind_of

EVERYTHING = (
    '<cls><demos*4 sep="\\n"><soft*2 init="很 <b>" name=task>'
    "{% if title is defined %}<title max=9 keep=ends>{% endif %}"
    ': <text shorten=2>\n(<options sep="/">) {{ stars | trim }}<mask*2>'
)
TURNS = "<chat:user><text><chat:assistant>很<mask>"
ANSWER = "<text>\n回答：<answer max=64>\n###"

SMALL = (
    '<div><div lang="" style="font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;line-height:2">'
    '<span title="field: text, at most 9 tokens" style="{box};{field}">&lt;text max=9&gt;</span>'
    '<span title="literal" style="{box};{literal}">␣a &lt;b&gt;⇥很↵\n</span>'
    '<span title="mask: where the label word goes" style="{box};{mask}">&lt;mask&gt;</span></div>'
    '<div lang="en" style="font-size:smaller;margin-top:.5em"><span style="{box};{literal}">literal</span> '
    '<span style="{box};{field}">field</span> <span style="{box};{mask}">mask</span></div></div>'
)


def described(template):
    return describe(template.nodes, template.node_blocks)


def html(template):
    return as_html(template.nodes, template.node_blocks)


def test_golden():
    from softcloze.template.describe import BOX

    template = Template("<text max=9> a \\<b>\t很\n<mask>")
    assert template._repr_html_() == html(template) == SMALL.format(box=BOX, **STYLES)


def test_every_kind_has_a_name_a_style_and_a_line():
    assert NAMES.keys() == STYLES.keys()
    nodes = [node for source in (EVERYTHING, TURNS, ANSWER) for node in Template(source).nodes]
    assert {kind_of(part) for part in nodes} == NAMES.keys() - {"stop"}
    assert all("border" in style for style in STYLES.values())
    assert {type(node) for node in nodes} == set(Node.__args__)


def test_masks_are_described_by_name():
    assert described(Template("<mask name=评价><mask*2 name=b>")) == [
        Described("mask", "<mask name=评价>", "where the label word of '评价' goes"),
        Described("mask", "<mask*2 name=b>", "where the label word of 'b' goes, tokens: 2"),
    ]


def test_chat_turns_are_described_by_role():
    assert described(Template(TURNS))[::2] == [
        Described("turn", "<chat:user>", "begins a turn of the user, in the tokenizer's chat template"),
        Described("turn", "<chat:assistant>", "begins a turn of the assistant, in the tokenizer's chat template"),
        Described("mask", "<mask>", "where the label word goes"),
    ]


def test_an_answer_and_its_stop_string_are_described():
    assert described(Template(ANSWER))[2:] == [
        Described("answer", "<answer max=64>", "where the model writes, at most 64 tokens"),
        Described("stop", "\n###", "'\\n###' ends the answer"),
    ]
    assert described(Template("A: <answer>"))[1] == Described("answer", "<answer>", "where the model writes")
    assert [part.kind for part in described(Template("<answer>: <text>"))] == ["answer", "literal", "field"]


def test_every_node_is_described():
    assert described(Template(EVERYTHING)) == [
        Described("special", "<cls>", "the tokenizer's cls token"),
        Described("demo", '<demos*4 sep="\\n">', "labelled examples, 4 in all, with '\\n' after each"),
        Described("soft", '<soft*2 init="很 <b>" name=task>', "vectors: 2, block task, starting from '很 <b>'"),
        Described("logic", "{% if title is defined %}", "{% if title is defined %} controls the output"),
        Described("field", "<title max=9 keep=ends>", "title, at most 9 tokens, both ends kept"),
        Described("logic", "{% endif %}", "{% endif %} controls the output"),
        Described("literal", ": ", "': '"),
        Described("field", "<text shorten=2>", "text, shortened 2 times as soon"),
        Described("literal", "\n(", "'\\n('"),
        Described("options", '<options sep="/">', "the first word of each label, with '/' between"),
        Described("literal", ") ", "') '"),
        Described("logic", "{{ stars | trim }}", "the value of {{ stars | trim }}"),
        Described("mask", "<mask*2>", "where the label word goes, tokens: 2"),
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It was", "It was"),
        (" It  was ", "␣It␣␣was␣"),
        ("a \n b", "a␣↵\n␣b"),
        ("\t很\u3000好\u00a0\u200b", "⇥很⟨U+3000⟩好⟨U+00A0⟩⟨U+200B⟩"),
        ("\u202eabc\x00\x1b\r", "⟨U+202E⟩abc⟨U+0000⟩⟨U+001B⟩⟨U+000D⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("👩\u200d🚀 می\u200cخواهم", "👩\u200d🚀 می\u200cخواهم"),
    ],
)
def test_invisible_characters_become_visible(text, shown):
    assert visible(text) == shown


def test_nothing_in_a_template_is_html():
    template = Template(
        '\\<script>alert(1)\\</script>\\{{7*7}} &amp; \'" <text><soft init="\'><img src=x onerror=alert(1)>">'
        "{{ '<b>' | trim }}<mask>"
    )
    page = Page(html(template))
    assert set(page.tags) == {"div", "span"}
    shown = "".join(page.text)
    assert "<script>alert(1)</script>{{7*7}} &amp; '\"␣<text>" in shown
    assert '<soft init="\'><img src=x onerror=alert(1)>">' in shown


@given(st.text(max_size=40), st.text(alphabet="<>&\"'a\\{}%", max_size=20))
def test_any_text_stays_text(literal, more):
    template = Template.from_nodes([*_literals(literal + more), *Template("<mask>").nodes])
    page = Page(html(template))
    assert page.tags == {"div", "span"} and page.attributes == {"title", "style", "lang"}
    assert page.text.lstrip("\n").startswith(visible(literal + more) + "<mask>")
    html(template).encode()  # no surrogates are left


def _literals(text):
    from softcloze.template import Literal

    return [Literal(text)] if text else []
