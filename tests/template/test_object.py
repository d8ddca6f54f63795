"""Template as a value: fields, blocks, equality, pickling and construction from nodes."""

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from softcloze.errors import TemplateSyntaxError, TemplateTypeError
from softcloze.template import (
    Demos,
    Expression,
    Field,
    Literal,
    Mask,
    Options,
    Soft,
    SoftBlock,
    Special,
    Statement,
    Template,
)


def test_fields_are_unique_and_in_order():
    assert Template("<b> <a> <b> <mask> <c>").fields == ("b", "a", "c")
    assert Template("<b max=3><a><b keep=tail><mask>").fields == ("b", "a")
    assert Template("<mask>").fields == ()


def test_variables_of_jinja_are_fields():
    template = Template(
        "{% if title %}{{ 标题 | trim }} <text>{% endif %}<mask> {{ title }} {% for x in हिन्दी %}{{ x }}{% endfor %}"
    )
    assert template.fields == ("title", "标题", "text", "हिन्दी")
    assert sorted(template.variables) == ["title", "हिन्दी", "标题"]
    assert template.has_logic
    assert Template("{% if text %}<text>{% endif %}<mask>").fields == ("text",)


def test_without_jinja_there_are_no_variables():
    template = Template(r"<text> \{{ x }} {x} {# x #} <mask>")
    assert (template.variables, template.has_logic) == ((), False)


def test_templates_without_jinja_import_nothing_of_it():
    code = "import sys; from softcloze.template import Template; Template('<a max=3><mask>'); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "softcloze.template.parser" in modules
    assert not {"jinja2", "torch", "numpy", "transformers", "softcloze.template.jinja.program"} & {*modules}


def test_demos():
    assert Template("<text><mask>").demos is None
    assert Template('<demos*4 sep="\\n"><text><mask>').demos == Demos(4, "\n")


def test_source_and_spans():
    source = '<!-- head -->a<!-- b -->\\<c> <soft*3  name="t" ><!-- d -->{{- text}}\\\\<mask>tail<!-- e -->'
    template = Template(source)
    assert template.source == source
    assert [source[start:end] for start, end in template.spans] == [
        r"a<!-- b -->\<c> ", '<soft*3  name="t" >', "{{- text}}", "\\\\", "<mask>", "tail",
    ]  # fmt: skip
    assert len(template.spans) == len(template.nodes)
    again = Template(str(template))
    assert again == template and again.source != source
    assert Template.from_nodes(template.nodes).source == str(template)


BLOCKS = [
    ("<text><mask>", []),
    ("<soft><mask>", [SoftBlock("#1", 1, None)]),
    ("<soft*3> <soft*3><mask>", [SoftBlock("#1", 3, None), SoftBlock("#2", 3, None)]),
    ("<soft init=a><mask>", [SoftBlock("#1", None, "a")]),
    ("<soft*4 init=a><mask>", [SoftBlock("#1", 4, "a")]),
    (
        "<soft><soft name=t><soft*2><soft*5 name=t><mask>",
        [SoftBlock("#1", 1, None), SoftBlock("t", 5, None), SoftBlock("#2", 2, None)],
    ),
    ("<soft name=t><soft name=t><mask>", [SoftBlock("t", 1, None)]),
    ("<soft name=t><mask><soft init=a name=t>", [SoftBlock("t", None, "a")]),
    ("<soft*2 name=t><mask><soft init=a name=t><soft*2 name=t init=a>", [SoftBlock("t", 2, "a")]),
]


@pytest.mark.parametrize(("source", "blocks"), BLOCKS)
def test_blocks(source, blocks):
    template = Template(source)
    assert template.blocks == tuple(blocks)
    reached = [template.block_of(i) for i, node in enumerate(template.nodes) if isinstance(node, Soft)]
    assert list(dict.fromkeys(reached)) == blocks


def test_block_of_shared_slots():
    template = Template("<soft name=t> <mask> <soft*2 name=t>")
    assert template.block_of(0) == template.block_of(4) == SoftBlock("t", 2, None)


def test_block_of_other_nodes():
    with pytest.raises(TemplateTypeError, match=r"node 1 of the template is Mask\(count=None, name=None\), not a Soft"):
        Template("<text><mask>").block_of(1)


def test_equality_hash_and_repr():
    template = Template('<soft init="a"> <text ><mask>')
    assert template == Template("<soft init=a> <text><mask>")
    assert hash(template) == hash(Template("<soft init=a> <text><mask>"))
    assert template != Template("<soft init=a><text><mask>")
    assert template != str(template)
    assert str(template) == '<soft init="a"> <text><mask>'
    assert repr(template) == """Template('<soft init="a"> <text><mask>')"""
    assert eval(repr(template)) == template  # noqa: S307


def test_immutable():
    with pytest.raises(FrozenInstanceError):
        Template("<mask>").nodes = ()


@pytest.mark.parametrize("source", ["<soft*3 name=t> <text  >\n<mask><!-- {{ a -->{{ a }}", "\\\\<text>\ud800<mask>\\"])
def test_pickle_and_copy(source):
    template = Template(source)
    for again in (pickle.loads(pickle.dumps(template)), copy.copy(template), copy.deepcopy(template)):
        assert again == template
        assert (again.source, again.spans, again.fields) == (source, template.spans, template.fields)
        assert again.blocks == template.blocks


def test_only_a_string_is_a_template():
    with pytest.raises(TemplateTypeError, match=r"a template is a string, as in .* not NoneType None"):
        Template(None)


def test_from_nodes_merges_literals():
    template = Template.from_nodes(iter([Literal("a"), Literal(""), Literal("b"), Mask(), Literal("")]))
    assert template.nodes == (Literal("ab"), Mask())


NODES = [
    ([], "the template has no <mask>, expected exactly one", "", 0, 0),
    ([Field(" "), Mask()], "the name in quotes is blank: expected that of a field", '<" "><mask>', 1, 4),
    ([Field("a", max=0), Mask()],
     "max must be a whole number from 1 to 1000000, as in max=200, found '0'", "<a max=0><mask>", 7, 8),
    ([Mask(), Literal("{"), Expression("a }} b")],
     "Expression(source='a }} b') cannot be written: this reads as Expression(source='a')",
     r"<mask>\{{{ a }} b }}", 8, 20),
    ([Statement("if 'a"), Mask()], 'this quote is never closed: expected another "\'"', "{% if 'a %}<mask>", 6, 7),
    ([Mask(), Soft(0)], "expected a whole number from 1 to 10000 after '*', found '0'", "<mask><soft*0>", 12, 13),
    ([Soft(True), Mask()], "expected a whole number from 1 to 10000 after '*', found 'True'", None, 6, 10),
    ([Soft(init=""), Mask()], 'init must be one word or more, as in init="It is about", found \'\'', None, 11, 13),
    ([Soft(name="2"), Mask()], "name must be an identifier, as in name=task, found '2'", None, 11, 12),
    ([Mask(), Literal(r"\<"), Mask()],
     "a template has only one <mask>, and this is the second: the first is at line 1, column 1; "
        "several need names, as in <mask name=quality>",
     r"<mask>\\<<mask>", 9, 15),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "problem", "source", "start", "end"), NODES)
def test_from_nodes_checks_the_same_rules(nodes, problem, source, start, end):
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.from_nodes(nodes)
    assert (caught.value.problem, caught.value.start, caught.value.end) == (problem, start, end)
    assert source is None or caught.value.source == source


@pytest.mark.parametrize(
    "node",
    [
        *(Field("a", max="3"), Field("a", keep='"tail"'), Field("a", shorten=2.0000001), Field("a", shorten="2")),
        *(Soft("3"), Soft(init=5), Soft(name="a init=b"), Mask("2"), Options(5), Demos("4"), Demos(sep=None)),
        *(Special("text"), Special("mask"), Expression(" x"), Expression("-\nx"), Expression(5)),
        *(Statement("if x "), Statement("if x %} {% endif")),
    ],
)
def test_from_nodes_rejects_nodes_that_parse_as_others(node):
    with pytest.raises(TemplateSyntaxError, match="cannot be written: this reads as") as caught:
        Template.from_nodes([Literal("ab"), node, Mask()])
    assert caught.value.start == 2


@pytest.mark.parametrize("thing", ["<mask>", None, Mask, ("mask",)])
def test_from_nodes_accepts_nodes_only(thing):
    with pytest.raises(TemplateTypeError, match="expected nodes such as Literal, Field and Mask, found"):
        Template.from_nodes([Mask(), thing])


def test_from_nodes_accepts_literals_of_text_only():
    with pytest.raises(TemplateTypeError, match="expected a Literal of str, found one of int 5"):
        Template.from_nodes([Mask(), Literal(5)])
