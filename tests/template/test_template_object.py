"""Template as a value: fields, blocks, equality, pickling, and building from nodes."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from softcloze.template import Field, Literal, Mask, Soft, SoftBlock, Template, TemplateSyntaxError, TemplateTypeError


def test_fields_are_unique_and_in_order():
    assert Template("<b> <a> <b> <mask> <c>").fields == ("b", "a", "c")
    assert Template("<mask>").fields == ()


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
    with pytest.raises(TemplateTypeError, match=r"node 1 of the template is Mask\(\), not a Soft"):
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


@pytest.mark.parametrize("source", ["<soft*3 name=t> <text>\n<mask>", "\\\\<text>\ud800<mask>\\"])
def test_pickle_and_copy(source):
    template = Template(source)
    for again in (pickle.loads(pickle.dumps(template)), copy.copy(template), copy.deepcopy(template)):
        assert again == template
        assert again.fields == template.fields and again.blocks == template.blocks


def test_only_a_string_is_a_template():
    with pytest.raises(TemplateTypeError, match=r"a template is a string, as in .* not NoneType None"):
        Template(None)


def test_from_nodes_merges_literals():
    template = Template.from_nodes(iter([Literal("a"), Literal(""), Literal("b"), Mask(), Literal("")]))
    assert template.nodes == (Literal("ab"), Mask())


NODES = [
    ([], "the template has no <mask>, expected exactly one", "", 0, 0),
    ([Field("a b"), Mask()], "the field <a> takes no attributes, found 'b'", "<a b><mask>", 3, 4),
    ([Field(""), Mask()], "expected a name after '<'", "<><mask>", 0, 1),
    ([Field("eos"), Mask()], "<eos> is reserved and cannot be a field", "<eos><mask>", 0, 4),
    ([Mask(), Soft(0)], "expected a whole number from 1 to 10000 after '*', found '0'", "<mask><soft*0>", 12, 13),
    ([Soft(True), Mask()], "expected a whole number from 1 to 10000 after '*', found 'True'", None, 6, 10),
    ([Soft(init=""), Mask()], 'init holds no words, expected some as in init="It is about"', None, 11, 13),
    ([Soft(name="2"), Mask()], "name must be an identifier, as in name=task, found '2'", None, 11, 12),
    ([Mask(), Literal(r"\<"), Mask()],
     "a template has only one <mask>, and this is the second: the first is at line 1, column 1",
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
    [Field("mask"), Field("soft"), Field("a><b"), Field("soft*3"), Soft("3"), Soft(init=5), Soft(name="a init=b")],
)
def test_from_nodes_takes_no_node_that_reads_as_another(node):
    with pytest.raises(TemplateSyntaxError, match="is no tag: names are identifiers"):
        Template.from_nodes([Literal("ab"), node, Mask()])


@pytest.mark.parametrize("thing", ["<mask>", None, Literal(5), Mask])
def test_from_nodes_takes_nodes_only(thing):
    with pytest.raises(TemplateTypeError, match="expected Field, Soft, Mask or a Literal of str, found"):
        Template.from_nodes([Mask(), thing])
